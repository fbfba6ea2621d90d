/**
 * Do our own kernels give what onnxruntime gives? Runs real inputs through both and prints the differences.
 * Ends with 1 when a required model is out of bounds, needs the fallback, or fails.
 *   npm run agree [-- --data DIR]
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import * as ort from 'onnxruntime-web';
import { createStyle, wantsColour } from '../fleet/cli/style.ts';
import { numbersOf } from '../runtime/compile/evaluate.ts';
import { createEngine, type Engine } from '../runtime/engine/engine.ts';
import type { Model } from '../runtime/engine/model.ts';
import type { Tensor } from '../runtime/engine/tensor.ts';
import { tensorsOf } from '../runtime/engine/value.ts';
import { agreeCases, type Case, missingFile, type Tensors } from './agree-cases.ts';
import { quantizedCases } from './agree-quantized.ts';
import { tabularCases } from './agree-tabular.ts';
import { variedCases } from './agree-varied.ts';

const RELATIVE_MAX = 1e-4;
const COSINE_MIN = 0.99999;
/**
 * Models of 8-bit integers: a sum that lies between two steps goes to either, whatever the last bit of the arithmetic says, and later
 * layers carry the step on. What must agree is which class leads, and the direction of the whole. onnxruntime's own results with and
 * without its optimiser come to a cosine of 0.978 in MobileNetV2.
 */
const QUANTIZED_COSINE_MIN = 0.98;
const QUANTIZED_ALIKE_MIN = 0.99;

/** onnxruntime gives float16 as a Float16Array; we keep the words. */
function plainHalf(tensor: Tensor): Tensor {
  if (tensor.type !== 'float16' || tensor.data instanceof Uint16Array) return tensor;
  const { buffer, byteOffset, length } = tensor.data as ArrayBufferView & { length: number };
  return { ...tensor, data: new Uint16Array(buffer as ArrayBuffer, byteOffset, length) };
}

type Run = (inputs: Tensors) => Promise<Tensors>;

/** Running comparison of one output over all runs. */
class Difference {
  #error = 0;
  #largest = 0;
  #dot = 0;
  #own = 0;
  #other = 0;
  #alike = 0;
  #decisions = 0;

  add(own: Tensor, other: Tensor): void {
    if (own.dims.join() !== other.dims.join()) throw new Error(`shape [${own.dims}] instead of [${other.dims}]`);
    const [mine, theirs] = [numbersOf(own), numbersOf(plainHalf(other))];
    for (const [i, b] of theirs.entries()) {
      const a = mine[i] as number;
      const error = Object.is(a, b) ? 0 : Math.abs(a - b);
      // A NaN on one side only would slip through every comparison.
      this.#error = Number.isNaN(error) ? Infinity : Math.max(this.#error, error);
      this.#largest = Math.max(this.#largest, Math.abs(b));
      this.#dot += a * b;
      this.#own += a * a;
      this.#other += b * b;
    }
    const { alike, decisions } = countAlike(mine, theirs, own.dims);
    this.#alike += alike;
    this.#decisions += decisions;
  }

  get result(): Result {
    const cosine = this.#error === 0 ? 1 : this.#dot / Math.sqrt(this.#own * this.#other);
    return {
      error: this.#error,
      relative: this.#error === 0 ? 0 : this.#error / this.#largest,
      cosine,
      alike: this.#alike / this.#decisions,
    };
  }
}

interface Result {
  readonly error: number;
  readonly relative: number;
  readonly cosine: number;
  /** Share of decisions (the largest along axis 1) that come out alike. */
  readonly alike: number;
}

/**
 * How many of the decisions along axis 1 (the classes, of pictures or of pixels) come out alike. Quantised scores tie: one that leads in
 * either and is as large as the leader in the other counts.
 */
function countAlike(
  own: readonly number[],
  other: readonly number[],
  dims: readonly number[],
): { alike: number; decisions: number } {
  const classes = dims[1] ?? 1;
  const inner = dims.slice(2).reduce((product, size) => product * size, 1);
  const decisions = own.length / classes;
  let alike = 0;
  for (let decision = 0; decision < decisions; decision++) {
    const first = Math.floor(decision / inner) * classes * inner + (decision % inner);
    let [mine, theirs] = [first, first];
    for (let at = first; at < first + classes * inner; at += inner) {
      if ((own[at] as number) > (own[mine] as number)) mine = at;
      if ((other[at] as number) > (other[theirs] as number)) theirs = at;
    }
    if (own[theirs] === own[mine] || other[mine] === other[theirs]) alike++;
  }
  return { alike, decisions };
}

function withinBounds({ quantized }: Case, { relative, cosine, alike }: Result): boolean {
  if (quantized) return alike >= QUANTIZED_ALIKE_MIN && cosine >= QUANTIZED_COSINE_MIN;
  return relative <= RELATIVE_MAX && cosine >= COSINE_MIN;
}

async function runOracle(bytes: Uint8Array, { quantized }: Case): Promise<{ run: Run; close(): Promise<void> }> {
  const session = await ort.InferenceSession.create(bytes, {
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
    // Its optimiser computes quantised models with integers, which rounds elsewhere than the file says.
    graphOptimizationLevel: quantized ? 'disabled' : 'all',
  });
  const run: Run = async (inputs) => {
    const feeds = Object.entries(inputs).map(([name, { type, data, dims }]) => [
      name,
      new ort.Tensor(type as 'float32', data as Float32Array, dims),
    ]);
    return (await session.run(Object.fromEntries(feeds))) as unknown as Tensors;
  };
  return { run, close: () => session.release() };
}

/** Each engine goes on from its own state: differences may add up. */
async function runAll(run: Run, runs: readonly Tensors[], carry: Case['carry'] = {}): Promise<Tensors[]> {
  const results: Tensors[] = [];
  for (const inputs of runs) {
    const carried = Object.entries(carry).map(([name, { from, dims }]): [string, Tensor] => {
      const before = results.at(-1)?.[from]?.data as Float32Array | undefined;
      const data = before ?? new Float32Array(dims.reduce((product, size) => product * size, 1));
      return [name, { type: 'float32', dims, data }];
    });
    results.push(await run({ ...inputs, ...Object.fromEntries(carried) }));
  }
  return results;
}

async function compare(each: Case, model: Model, bytes: Uint8Array): Promise<{ result: Result; runs: number }> {
  const oracle = await runOracle(bytes, each);
  const differences = new Map<string, Difference>();
  let runs = 0;
  for (const source of each.sources.length > 0 ? each.sources : ['']) {
    const inputs = await each.inputs(source);
    const own = await runAll(async (tensors) => tensorsOf((await model.run(tensors)).outputs), inputs, each.carry);
    const other = await runAll(oracle.run, inputs, each.carry);
    own.forEach((outputs, index) => {
      for (const [name, tensor] of Object.entries(outputs)) {
        const difference = differences.get(name) ?? new Difference();
        differences.set(name, difference);
        difference.add(tensor, other[index]?.[name] as Tensor);
      }
    });
    runs += inputs.length;
  }
  await oracle.close();
  const all = [...differences.values()].map((difference) => difference.result);
  const result = {
    error: Math.max(...all.map(({ error }) => error)),
    relative: Math.max(...all.map(({ relative }) => relative)),
    cosine: Math.min(...all.map(({ cosine }) => cosine)),
    alike: Math.min(...all.map(({ alike }) => alike)),
  };
  return { result, runs };
}

interface Row {
  readonly cells: readonly string[];
  readonly failed: boolean;
}

async function check(each: Case, engine: Engine): Promise<Row> {
  const missing = missingFile(each);
  if (missing) return { cells: [each.name, `absent: no file ${missing}`, '', '', '', '', ''], failed: false };
  const bytes = new Uint8Array(readFileSync(each.model));
  let model: Model | undefined;
  try {
    model = await engine.load(bytes, { name: each.name });
    const { result, runs } = await compare(each, model, bytes);
    const good = withinBounds(each, result);
    const verdict = good ? model.engine : `${model.engine}: OUT OF BOUNDS`;
    const { error, relative, cosine, alike } = result;
    const figures = [error.toExponential(1), relative.toExponential(1), cosine.toFixed(7), alike.toFixed(4)];
    return { cells: [each.name, verdict, String(runs), ...figures], failed: each.required && !good };
  } catch (error) {
    const reason = (error as Error).name === 'UnsupportedError' ? 'onnxruntime (fallback)' : 'FAILED';
    const cells = [each.name, `${reason}: ${(error as Error).message}`, '', '', '', '', ''];
    return { cells, failed: each.required };
  } finally {
    await model?.close();
  }
}

const { values } = parseArgs({ options: { data: { type: 'string' } } });
const folder = values.data ?? fileURLToPath(new URL('../../shared/data/', import.meta.url));
// Threads inside the library need a page's fetch; there is none in Node.
ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';
const engine = await createEngine();
const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
const rows: Row[] = [];
for (const each of [
  ...agreeCases(folder),
  ...variedCases(folder),
  ...quantizedCases(folder),
  ...tabularCases(folder),
]) {
  process.stderr.write(`${each.name} …\n`);
  rows.push(await check(each, engine));
}
await engine.close();
const header = ['model', 'engine', 'runs', 'max abs error', 'relative to max |y|', 'cosine', 'alike'];
console.log(
  style.table(
    header,
    rows.map(({ cells }) => cells),
  ),
);
const failures = rows.filter(({ failed }) => failed).length;
console.log(
  `kernels: ${engine.info.build}; bounds: relative ${RELATIVE_MAX}, cosine ${COSINE_MIN}; of 8-bit models: ${QUANTIZED_ALIKE_MIN} of decisions alike, cosine ${QUANTIZED_COSINE_MIN}`,
);
if (failures > 0) console.log(`${failures} required models do not agree`);
process.exitCode = failures > 0 ? 1 : 0;
