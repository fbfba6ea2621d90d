/** Operators on texts. Source: ONNX Operators.md, StringConcat, StringSplit, StringNormalizer, RegexFullMatch. */
import { RE2JS } from 're2js';
import type { Tensor } from '../../engine/tensor.ts';
import type { StringTensor } from '../../engine/value.ts';
import { bools, boundedCount, broadcastDims, broadcastPlaces, int64s, texts } from './elements.ts';
import type { HostContext } from './host-context.ts';

/** A pattern grows with its repetition counts when it is compiled; RE2 bounds those, this bounds how many there can be. */
const PATTERN_LENGTH_MAX = 4096;
/** Steps of a pattern times characters: about a second. */
const REGEX_WORK_MAX = 2 ** 28;

export function stringConcat(node: HostContext): StringTensor {
  const [a, b] = [node.strings(0), node.strings(1)];
  const dims = broadcastDims(a.dims, b.dims);
  const [fromA, fromB] = [broadcastPlaces(a.dims, dims), broadcastPlaces(b.dims, dims)];
  return texts(
    dims,
    Array.from(fromA, (place, i) => (a.data[place] ?? '') + (b.data[fromB[i] ?? 0] ?? '')),
  );
}

/** As Python's `str.split`, which the standard refers to: without a delimiter, runs of white space and the ends do not count. */
function splitText(text: string, delimiter: string, most: number): string[] {
  const parts: string[] = [];
  const separator = delimiter === '' ? /\s+/g : undefined;
  let start = separator ? text.length - text.trimStart().length : 0;
  const end = separator ? text.trimEnd().length : text.length;
  if (separator && start >= end) return parts;
  while (parts.length < most) {
    if (separator) separator.lastIndex = start;
    const match = separator?.exec(text);
    const at = separator ? (match?.index ?? end) : text.indexOf(delimiter, start);
    if (at < 0 || at >= end) break;
    parts.push(text.slice(start, at));
    start = at + (match?.[0].length ?? delimiter.length);
  }
  // What is left after the last split keeps its white space at the end.
  parts.push(text.slice(start, parts.length < most ? end : text.length));
  return parts;
}

/** Parts in a new last axis, filled up with empty texts, and how many parts each text has. */
export function stringSplit(node: HostContext): readonly [StringTensor, Tensor] {
  const source = node.strings(0);
  const delimiter = node.string('delimiter', '');
  const most = node.has('maxsplit') ? node.int('maxsplit') : Infinity;
  const split = source.data.map((text) => splitText(text, delimiter, most < 0 ? Infinity : most));
  const width = split.reduce((longest, parts) => Math.max(longest, parts.length), 0);
  const dims = [...source.dims, width];
  boundedCount(dims);
  const counts = split.map((parts) => parts.length);
  const padded = split.flatMap((parts) => Array.from({ length: width }, (_, i) => parts[i] ?? ''));
  return [texts(dims, padded), int64s(source.dims, counts)];
}

/** `en_US` is `en-US` in JavaScript; C and POSIX stand for no language at all. */
function languageOf(locale: string): string | undefined {
  const [name = ''] = locale.split('.');
  if (name === '' || name === 'C' || name === 'POSIX') return undefined;
  try {
    return Intl.getCanonicalLocales(name.replaceAll('_', '-'))[0];
  } catch (cause) {
    throw new Error(`attribute "locale": expected a locale such as "en_US", got "${locale}"`, { cause });
  }
}

export function stringNormalizer(node: HostContext): StringTensor {
  const source = node.strings(0);
  const { dims } = source;
  if (dims.length === 0 || dims.length > 2 || (dims.length === 2 && dims[0] !== 1))
    throw new Error(`expected texts of shape [C] or [1, C], got [${dims}]`);
  const change = node.text('case_change_action', ['NONE', 'LOWER', 'UPPER'], 'NONE');
  const language = languageOf(node.string('locale', ''));
  const exact = node.flag('is_case_sensitive');
  const compared = (text: string): string => (exact ? text : text.toLocaleLowerCase(language));
  const stopwords = new Set((node.texts('stopwords') ?? []).map(compared));
  const kept = source.data
    .filter((text) => !stopwords.has(compared(text)))
    .map((text) => {
      if (change === 'NONE') return text;
      return change === 'LOWER' ? text.toLocaleLowerCase(language) : text.toLocaleUpperCase(language);
    });
  // A tensor without elements would be lost on later operators, so the standard asks for one empty text.
  const words = kept.length > 0 ? kept : [''];
  return texts(dims.length === 2 ? [1, words.length] : [words.length], words);
}

/** RE2's syntax and its promise of linear time: JavaScript's own expressions can take forever on a text of 30 letters. */
export function regexFullMatch(node: HostContext): Tensor {
  const source = node.strings(0);
  const pattern = node.once(() => {
    const text = node.string('pattern', '');
    if (text.length > PATTERN_LENGTH_MAX)
      throw new Error(`attribute "pattern": expected at most ${PATTERN_LENGTH_MAX} characters, got ${text.length}`);
    try {
      return RE2JS.compile(text);
    } catch (cause) {
      throw new Error(
        `attribute "pattern": expected a regular expression of RE2, got ${JSON.stringify(text)}: ${cause instanceof Error ? cause.message : cause}`,
        { cause },
      );
    }
  });
  const characters = source.data.reduce((sum, text) => sum + text.length, 0);
  if (characters * pattern.programSize() > REGEX_WORK_MAX)
    throw new Error(
      `expected at most ${Math.floor(REGEX_WORK_MAX / pattern.programSize())} characters for this pattern, got ${characters}`,
    );
  return bools(
    source.dims,
    source.data.map((text) => pattern.testExact(text)),
  );
}
