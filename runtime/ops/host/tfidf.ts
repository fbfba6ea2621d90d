/** Counts of n-grams of texts or numbers. Source: ONNX Operators.md, TfIdfVectorizer. */
import type { Tensor } from '../../engine/tensor.ts';
import { boundedCount } from './elements.ts';
import type { HostContext } from './host-context.ts';

type Item = string | number;

/** N-grams by their items: a path from the root spells one. */
interface Branch {
  readonly next: Map<Item, Branch>;
  /** Which entry of `ngram_indexes` the path up to here is. */
  ngram?: number;
}

interface Vocabulary {
  readonly root: Branch;
  readonly width: number;
  /** Of the n-gram: column in the result and weight. */
  readonly columns: readonly number[];
  readonly weights: readonly number[];
  readonly texts: boolean;
}

/** Places that are looked at: start, distance and length of an n-gram. About a second. */
const STEPS_MAX = 2 ** 27;

function readVocabulary(node: HostContext): Vocabulary {
  const strings = node.texts('pool_strings');
  const pool: readonly Item[] = strings ?? node.ints('pool_int64s') ?? [];
  const starts = node.ints('ngram_counts') ?? [];
  const columns = node.ints('ngram_indexes') ?? [];
  if (columns.length === 0 || columns.some((column) => column < 0))
    throw new Error('attribute "ngram_indexes": expected one column of 0 or more for each n-gram');
  const root: Branch = { next: new Map() };
  let ngram = 0;
  for (const [index, start] of starts.entries()) {
    const [length, end] = [index + 1, starts[index + 1] ?? pool.length];
    if (!(start >= 0 && start <= end && end <= pool.length && (end - start) % length === 0))
      throw new Error(`attribute "ngram_counts": expected where n-grams of 1, 2 … begin in the pool, got [${starts}]`);
    for (let at = start; at < end; at += length) addNgram(root, pool.slice(at, at + length), ngram++);
  }
  const weights = node.floats('weights') ?? columns.map(() => 1);
  if (ngram !== columns.length || weights.length !== columns.length)
    throw new Error(
      `expected a column and a weight for each of ${ngram} n-grams, got ${columns.length} and ${weights.length}`,
    );
  return { root, columns, weights, width: Math.max(...columns) + 1, texts: strings !== undefined };
}

function addNgram(root: Branch, items: readonly Item[], ngram: number): void {
  let branch = root;
  for (const item of items) {
    let next = branch.next.get(item);
    if (!next) {
      next = { next: new Map() };
      branch.next.set(item, next);
    }
    branch = next;
  }
  branch.ngram = ngram;
}

interface Lengths {
  readonly shortest: number;
  readonly longest: number;
  /** Items that may be left out between neighbours, at most. */
  readonly skips: number;
}

/** Calls `found` with each n-gram of the row that the vocabulary has, as often as it is there. */
function findNgrams(
  row: readonly Item[],
  root: Branch,
  { shortest, longest, skips }: Lengths,
  found: (ngram: number) => void,
): void {
  for (let distance = 1; distance <= skips + 1; distance++) {
    // A single item has no neighbours: it counts once, not for every distance.
    const least = distance === 1 ? shortest : Math.max(shortest, 2);
    for (let start = 0; start < row.length; start++) {
      let branch: Branch | undefined = root;
      for (let length = 1; length <= longest && branch; length++) {
        const at = start + (length - 1) * distance;
        branch = at < row.length ? branch.next.get(row[at] as Item) : undefined;
        if (branch?.ngram !== undefined && length >= least) found(branch.ngram);
      }
    }
  }
}

export function tfIdfVectorizer(node: HostContext): Tensor {
  const vocabulary = node.once(() => readVocabulary(node));
  const source = node.anyTensor(0);
  if ((source.type === 'string') !== vocabulary.texts)
    throw new Error(`expected ${vocabulary.texts ? 'texts' : 'whole numbers'} as the pool holds, got ${source.type}`);
  const { dims } = source;
  if (dims.length > 2) throw new Error(`expected a shape [C] or [N, C], got [${dims}]`);
  const [rows, columns] = dims.length === 2 ? [dims[0] as number, dims[1] as number] : [1, dims[0] ?? 1];
  const items: readonly Item[] = source.type === 'string' ? source.data : (node.wholeNumbers(0) ?? []);
  const lengths: Lengths = {
    shortest: node.int('min_gram_length'),
    longest: node.int('max_gram_length'),
    // Neighbours further apart than the row is long do not exist.
    skips: Math.min(node.int('max_skip_count'), Math.max(0, columns - 1)),
  };
  const steps = items.length * (lengths.skips + 1) * Math.min(lengths.longest, columns);
  if (!(steps <= STEPS_MAX))
    throw new Error(`expected at most ${STEPS_MAX} places of n-grams to look at, got ${steps}`);
  const mode = node.text('mode', ['TF', 'IDF', 'TFIDF'], 'TF');
  const resultDims = dims.length === 2 ? [rows, vocabulary.width] : [vocabulary.width];
  const data = new Float32Array(boundedCount(resultDims));
  for (let row = 0; row < rows; row++) {
    findNgrams(items.slice(row * columns, (row + 1) * columns), vocabulary.root, lengths, (ngram) => {
      const at = row * vocabulary.width + (vocabulary.columns[ngram] as number);
      const weight = vocabulary.weights[ngram] as number;
      if (mode === 'IDF') data[at] = weight;
      else data[at] = (data[at] as number) + (mode === 'TF' ? 1 : weight);
    });
  }
  return { type: 'float32', dims: resultDims, data };
}
