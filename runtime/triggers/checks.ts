/** What can be wrong between the fields of a trigger, each for itself being right. */
import parseJsonPath from 'jsonpath-rfc9535/parser';
import { compileExpression } from './expressions.ts';
import type { Stage, Trigger } from './schema.ts';
import { checkAnswerTopic, parseFilter, parseTemplate } from './topic-filter.ts';

export interface Problem {
  readonly path: readonly (string | number)[];
  readonly message: string;
}

export function problemsOf(trigger: Trigger): Problem[] {
  return [
    ...topicProblems(trigger),
    ...decodeProblems(trigger),
    ...stageProblems(trigger),
    ...expressionProblems(trigger),
    ...lateProblems(trigger),
  ];
}

/** Names in every expression of a trigger before its stages have run. */
export function givenVariables(trigger: Trigger): string[] {
  return ['topic', 'message', ...(trigger.window ? ['window'] : [])];
}

/** Whether a stage's result stands under its name in expressions; with `each` it stands in the regions instead. */
export function hasVariable(stage: Stage): boolean {
  return stage.post !== undefined && stage.each === undefined;
}

function* topicProblems({ topic, output }: Trigger): Generator<Problem> {
  let path = ['topic'];
  try {
    const filter = parseFilter(topic);
    path = ['output', 'topic'];
    const template = parseTemplate(output.topic, filter.variables);
    const example = template.fill(Object.fromEntries(filter.variables.map((name) => [name, name])));
    checkAnswerTopic(example, filter);
  } catch (error) {
    yield { path, message: (error as Error).message };
  }
}

function* decodeProblems({ decode, window }: Trigger): Generator<Problem> {
  if (window && !['raw', 'audio', 'json', 'csv'].includes(decode.format)) {
    yield { path: ['window'], message: `${decode.format} messages are no stream of numbers: leave "window" out` };
  }
  if (decode.format !== 'json') return;
  const paths = { values: [decode.values].flat(), id: decode.id === undefined ? [] : [decode.id] };
  for (const [key, texts] of Object.entries(paths)) {
    for (const text of texts) {
      try {
        parseJsonPath(text);
      } catch (error) {
        yield {
          path: ['decode', key],
          message: `expected a JSONPath (RFC 9535), got "${text}": ${(error as Error).message}`,
        };
      }
    }
  }
}

function* stageProblems({ stages, decode, output }: Trigger): Generator<Problem> {
  const earlier = new Map<string, Stage>();
  for (const [index, stage] of stages.entries()) {
    const path = ['stages', index];
    const { name, each, turn } = stage;
    if (earlier.has(name)) yield { path: [...path, 'name'], message: `another stage is called "${name}"` };
    if (each !== undefined && !(earlier.has(each) && hasVariable(earlier.get(each) as Stage))) {
      yield { path: [...path, 'each'], message: `expected an earlier stage whose "post" gives regions, got "${each}"` };
    }
    if (each !== undefined && decode.format !== 'image') {
      yield { path: [...path, 'each'], message: 'regions are cut out of a picture: expected decode.format "image"' };
    }
    if (turn !== undefined && each === undefined)
      yield { path: [...path, 'turn'], message: 'only a stage with "each" turns' };
    const inputs = Object.values(stage.inputs);
    if (stage.smaller !== undefined && inputs.some((input) => 'recurrent' in input && input.recurrent !== undefined))
      yield {
        path: [...path, 'smaller'],
        message: 'what one model remembers of a stream means nothing to another one',
      };
    earlier.set(name, stage);
  }
  const { fields, tensors } = output;
  if (tensors !== undefined && earlier.get(tensors)?.each !== undefined) {
    yield {
      path: ['output', 'tensors'],
      message: `"${tensors}" runs once for each region: it has no tensors of its own`,
    };
  } else if (tensors !== undefined && !earlier.has(tensors)) {
    yield { path: ['output', 'tensors'], message: `expected the name of a stage, got "${tensors}"` };
  } else if (!fields && tensors === undefined && !stages.some(hasVariable)) {
    yield {
      path: ['output'],
      message: 'nothing to publish: give "fields" or "tensors", or a stage a "post" step such as raw',
    };
  }
}

function* lateProblems({ deadlineMs, late, stages }: Trigger): Generator<Problem> {
  if (deadlineMs !== undefined) return;
  const message = 'nothing is too late without a deadline: give "deadlineMs"';
  if (late === 'skip') yield { path: ['late'], message };
  const place = stages.findIndex(({ smaller }) => smaller !== undefined);
  if (place >= 0) yield { path: ['stages', place, 'smaller'], message };
}

/** Unknown names, syntax, names that are taken: found here, so that the mistake can be shown with its line. */
function* expressionProblems(trigger: Trigger): Generator<Problem> {
  const known = givenVariables(trigger);
  const { output, when } = trigger;
  for (const [index, stage] of trigger.stages.entries()) {
    if (stage.turn !== undefined) yield* problemIn(stage.turn, [...known, 'item', 'index'], ['stages', index, 'turn']);
    if (!hasVariable(stage)) continue;
    yield* problemIn('true', [...known, stage.name], ['stages', index, 'name']);
    known.push(stage.name);
  }
  for (const [name, text] of Object.entries(trigger.let ?? {})) {
    yield* problemIn(text, known, ['let', name]);
    yield* problemIn('true', [...known, name], ['let', name]);
    known.push(name);
  }
  if (when !== undefined) yield* problemIn(when, known, ['when']);
  for (const [name, text] of Object.entries(output.fields ?? {}))
    yield* problemIn(text, known, ['output', 'fields', name]);
  if (output.summary !== undefined) yield* problemIn(output.summary, known, ['output', 'summary']);
}

function* problemIn(text: string, known: readonly string[], path: (string | number)[]): Generator<Problem> {
  try {
    compileExpression(text, known);
  } catch (error) {
    yield { path, message: (error as Error).message };
  }
}
