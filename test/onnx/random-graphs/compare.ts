/** Runs a graph on both engines and judges the difference. */
import * as ort from 'onnxruntime-web';
import { numbersOf, tensorOf } from '../../../runtime/compile/evaluate.ts';
import { elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { Random } from '../../random.ts';
import { TestModel } from '../../runtime/compile/run-program.ts';
import { type GraphValue, type RandomGraph, type RandomNode, writeGraphFile } from './graph.ts';

type Results = Readonly<Record<string, Tensor>>;

/** `refused` by the oracle: nothing to compare with. `unsupported` by our kernels. `unstable`: see `isUnstable`. */
export type Verdict =
  | { readonly kind: 'equal' | 'unstable' }
  | { readonly kind: 'refused' | 'unsupported' | 'mismatch'; readonly why: string };

/** Of the element and of the tensor's largest: onnxruntime's sums of some thousand float32 are no better. */
const RELATIVE = 1e-4;
const RELATIVE_HALF = 2e-3;
const NOISE = 2e-6;
const NOISE_HALF = 1e-3;
const NOISY_RUNS = 24;
/** A difference within this many times of what rounding noise does is no mistake of ours. */
const SPREADS = 8;

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'fatal';

async function runOnnxruntime(graph: RandomGraph): Promise<Results> {
  const session = await ort.InferenceSession.create(writeGraphFile(graph), {
    executionProviders: ['wasm'],
    logSeverityLevel: 4,
    // Its optimiser rounds elsewhere than the file says.
    graphOptimizationLevel: 'disabled',
  });
  try {
    const feeds = Object.entries(graph.inputs).map(([name, { type, data, dims }]) => [
      name,
      new ort.Tensor(type as 'float32', data as Float32Array, dims),
    ]);
    const results = (await session.run(Object.fromEntries(feeds))) as unknown as Results;
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, plainHalf(tensor)]));
  } finally {
    await session.release();
  }
}

/** onnxruntime gives half floats as a Float16Array where there is one; we keep their words. */
function plainHalf({ type, dims, data }: Tensor): Tensor {
  if (type !== 'float16' || data instanceof Uint16Array) return { type, dims, data };
  const array = data as ArrayBufferView;
  return { type, dims, data: new Uint16Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength / 2) };
}

/** The same graph with every float32 a little off after each step: how far rounding alone may lead. */
function noisy(graph: RandomGraph, random: Random): RandomGraph {
  const constants: Record<string, Tensor> = { ...graph.constants };
  const around = (value: number, noise: number) => value * (1 + noise * (2 * random.next() - 1));
  const shake = (tensor: Tensor): Tensor => {
    if (tensor.type !== 'float32') return tensor;
    return tensorOf(
      tensor.type,
      tensor.dims,
      numbersOf(tensor).map((value) => around(value, NOISE)),
    );
  };
  const inputs = Object.fromEntries(Object.entries(graph.inputs).map(([name, tensor]) => [name, shake(tensor)]));
  const nodes = graph.nodes.flatMap((node): RandomNode[] => {
    const outputs = node.outputs.map((output) =>
      isFloat(output) ? { ...output, name: `${output.name} exact` } : output,
    );
    const factors = node.outputs.filter(isFloat).map((output): RandomNode => {
      const factor = `${output.name} factor`;
      const noise = output.type === 'float16' ? NOISE_HALF : NOISE;
      const values = Array.from({ length: elementCount(output.dims) }, () => around(1, noise));
      constants[factor] = tensorOf(output.type, output.dims, values);
      return { operator: 'Mul', inputs: [`${output.name} exact`, factor], outputs: [output], attributes: {} };
    });
    return [{ ...node, outputs }, ...factors];
  });
  return { ...graph, inputs, constants, nodes };
}

function isFloat({ type }: GraphValue): boolean {
  return type === 'float32' || type === 'float16';
}

interface Difference {
  readonly output: string;
  readonly why: string;
  /** Elements that differ; none when type or shape do. */
  readonly places: readonly number[];
}

function differenceOf(output: string, own: Tensor | undefined, other: Tensor): Difference | undefined {
  if (!own || own.type !== other.type || own.dims.join() !== other.dims.join()) {
    const why = `${own?.type} [${own?.dims}] for ${other.type} [${other.dims}]`;
    return { output, why, places: [] };
  }
  const [a, b] = [numbersOf(own), numbersOf(other)];
  const isFraction = own.type.startsWith('float');
  const relative = own.type === 'float16' ? RELATIVE_HALF : RELATIVE;
  const largest = b.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
  const places = b.flatMap((value, i) => {
    const mine = a[i] as number;
    if (Object.is(mine, value) || mine === value || (Number.isNaN(mine) && Number.isNaN(value))) return [];
    const near = isFraction && Math.abs(mine - value) <= relative * (largest + Math.abs(value)) + 1e-7;
    return near ? [] : [i];
  });
  if (places.length === 0) return undefined;
  const at = places[0] as number;
  return { output, why: `${places.length} of ${b.length} elements, [${at}] is ${a[at]} for ${b[at]}`, places };
}

/** Whether rounding noise moves each of the elements about as far as they differ: then neither engine is wrong. */
async function isUnstable(
  oracle: Oracle,
  graph: RandomGraph,
  { output, places }: Difference,
  own: Results,
  other: Results,
): Promise<boolean> {
  if (places.length === 0) return false;
  const random = new Random(1);
  const spread = new Map(places.map((place) => [place, 0]));
  const exact = numbersOf(other[output] as Tensor);
  for (let run = 0; run < NOISY_RUNS; run++) {
    const shaken = numbersOf((await oracle(noisy(graph, random)))[output] as Tensor);
    for (const [place, before] of spread) {
      const moved = Math.abs((shaken[place] as number) - (exact[place] as number));
      spread.set(place, Math.max(before, Number.isNaN(moved) ? Infinity : moved));
    }
  }
  const mine = numbersOf(own[output] as Tensor);
  // Where noise changes an index or a truth, it may become any other.
  const spreads = (other[output] as Tensor).type.startsWith('float') ? SPREADS : Infinity;
  return places.every((place) => {
    const error = Math.abs((mine[place] as number) - (exact[place] as number));
    const moved = spread.get(place) as number;
    return moved > 0 && error <= spreads * moved;
  });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}

/** Gives a graph's results by other means than the optimised program. */
export type Oracle = (graph: RandomGraph) => Promise<Results>;

/** Our own kernels on the program that no pass has touched. */
async function runPlain(graph: RandomGraph): Promise<Results> {
  return new TestModel(readModel(writeGraphFile(graph)), { build: 'plain', passes: [] }).run(graph.inputs);
}

export const oracles: Readonly<Record<string, Oracle>> = { onnxruntime: runOnnxruntime, plain: runPlain };

export async function judge(graph: RandomGraph, oracle: Oracle = runOnnxruntime): Promise<Verdict> {
  let other: Results;
  try {
    other = await oracle(graph);
  } catch (error) {
    return { kind: 'refused', why: messageOf(error) };
  }
  let own: Results;
  try {
    own = new TestModel(readModel(writeGraphFile(graph))).run(graph.inputs);
  } catch (error) {
    return { kind: (error as Error).name === 'UnsupportedError' ? 'unsupported' : 'mismatch', why: messageOf(error) };
  }
  let kind: 'equal' | 'unstable' = 'equal';
  for (const [name, tensor] of Object.entries(other)) {
    const difference = differenceOf(name, own[name], tensor);
    if (!difference) continue;
    if (!(await isUnstable(oracle, graph, difference, own, other)))
      return { kind: 'mismatch', why: `output "${name}": ${difference.why}` };
    kind = 'unstable';
  }
  return { kind };
}
