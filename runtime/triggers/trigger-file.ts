/** Triggers as people write them, in YAML or JSON: what is wrong is told with its line. A node that is told its triggers never loads this. */
import { type Document, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from 'yaml';
import type * as z from 'zod';
import { type Trigger, triggerSchema } from './schema.ts';

/** Largest trigger file. */
const TRIGGER_CHARACTERS_MAX = 65_536;

/**
 * Reads a trigger file. Throws an Error for the first thing that is wrong:
 * `speech.yaml, line 7: stages[0].inputs.sr.constant: expected number, got "x"`.
 */
export function parseTrigger(text: string, fileName: string): Trigger {
  if (text.length > TRIGGER_CHARACTERS_MAX) {
    throw new Error(`${fileName}: expected at most ${TRIGGER_CHARACTERS_MAX} characters, got ${text.length}`);
  }
  const lines = new LineCounter();
  // JSON is read by the same parser: YAML 1.2 contains it.
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const syntax = document.errors[0];
  if (syntax) throw new Error(`${fileName}, line ${lines.linePos(syntax.pos[0]).line}: ${syntax.message}`);
  let value: unknown;
  try {
    value = document.toJS({ maxAliasCount: 100 });
  } catch (cause) {
    throw new Error(`${fileName}: ${(cause as Error).message}`, { cause });
  }
  const result = triggerSchema.safeParse(value);
  if (result.success) return result.data;
  // A misspelt field also makes the right one missing: the misspelling is the more helpful of the two.
  const issues = result.error.issues;
  const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? (issues[0] as z.core.$ZodIssue);
  const { path, sentence } = explainIssue(issue, value);
  throw new Error(`${fileName}, line ${lineOf(document, lines, path)}: ${sentence}`, { cause: result.error });
}

/** Line of what `path` names, or of the nearest thing around it that the file has. */
function lineOf(document: Document, lines: LineCounter, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const around = length === 1 ? document.contents : document.getIn(path.slice(0, length - 1), true);
    const last = path[length - 1];
    // A field begins with its name, an entry of a list with itself.
    const pair = isMap(around) ? around.items.find(({ key }) => isScalar(key) && key.value === last) : undefined;
    const node = pair ? pair.key : isSeq(around) ? around.get(Number(last), true) : undefined;
    if (isNode(node) && node.range) return lines.linePos(node.range[0]).line;
  }
  return 1;
}

/** One issue as a sentence that begins with the path: what was expected there and what came. */
function explainIssue(issue: z.core.$ZodIssue, value: unknown): { path: PropertyKey[]; sentence: string } {
  const path = issue.code === 'unrecognized_keys' ? [...issue.path, issue.keys[0] as string] : issue.path;
  const place = path.map((key) => (typeof key === 'number' ? `[${key}]` : `.${String(key)}`)).join('');
  const given = issue.path.reduce<unknown>((at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key], value);
  const got = given === undefined ? 'nothing' : (JSON.stringify(given)?.slice(0, 60) ?? 'something else');
  return { path, sentence: `${place.replace(/^\./, '') || 'trigger'}: ${problemOf(issue, got)}` };
}

function problemOf(issue: z.core.$ZodIssue, got: string): string {
  switch (issue.code) {
    case 'unrecognized_keys':
      return 'no such field; docs/triggers.md lists them';
    case 'invalid_type':
      return `expected ${issue.expected}, got ${got}`;
    case 'invalid_value':
      return `expected ${issue.values.map((value) => JSON.stringify(value)).join(' or ')}, got ${got}`;
    case 'invalid_union':
      return `${issue.message}, got ${got}`;
    case 'invalid_key':
      return issue.issues[0]?.message ?? issue.message;
    case 'too_small':
      return `expected ${issue.inclusive ? 'at least' : 'more than'} ${issue.minimum}${counted(issue.origin)}, got ${got}`;
    case 'too_big':
      return `expected ${issue.inclusive ? 'at most' : 'less than'} ${issue.maximum}${counted(issue.origin)}, got ${got}`;
    default:
      return issue.message;
  }
}

function counted(origin: string): string {
  if (origin === 'string') return ' characters';
  return origin === 'array' ? ' entries' : '';
}
