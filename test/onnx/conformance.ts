/** Runs official cases on our kernels alone, without engine or fallback, and says why one does not pass. */
import { readFileSync } from 'node:fs';
import { numbersOf } from '../../runtime/compile/evaluate.ts';
import type { Tensor } from '../../runtime/engine/tensor.ts';
import type { OnnxModel } from '../../runtime/onnx/graph.ts';
import { readModel } from '../../runtime/onnx/read.ts';
import { TestModel, type Way } from '../runtime/compile/run-program.ts';
import { bytesOf, type Case } from './cases.ts';
import { answerOf } from './oracle.ts';

/** As onnx's own backend tests compare. */
const RELATIVE = 1e-3;
const ABSOLUTE = 1e-7;
/** Sums of float32 in another order differ by this much of the largest number, whatever the single number's size. */
const OF_LARGEST = 1e-6;

/** Reasons begin with this word when a case ran and gave other numbers. */
export const WRONG = 'WRONG';

/** Where two tensors differ, or nothing. */
export function difference(got: Tensor | undefined, wanted: Tensor): string | undefined {
  if (!got || got.type !== wanted.type || got.dims.join() !== wanted.dims.join())
    return `${got?.type} [${got?.dims}] instead of ${wanted.type} [${wanted.dims}]`;
  const [a, b] = [numbersOf(got), numbersOf(wanted)];
  const largest = b.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
  const at = b.findIndex((value, i) => {
    const own = a[i] as number;
    if (Number.isNaN(value) || !Number.isFinite(value)) return !Object.is(own, value);
    return !(Math.abs(own - value) <= ABSOLUTE + RELATIVE * Math.abs(value) + OF_LARGEST * largest);
  });
  return at < 0 ? undefined : `element ${at} is ${a[at]} instead of ${b[at]}`;
}

/** What runs a model: the one place to change when models run in another way. */
export function runnerOf(model: OnnxModel, way?: Way): (inputs: readonly Tensor[]) => (Tensor | undefined)[] {
  const runnable = new TestModel(model, way);
  const { inputs: declared, outputs } = model.graph;
  return (inputs) => {
    const results = runnable.run(Object.fromEntries(declared.map(({ name }, i) => [name, inputs[i] as Tensor])));
    return outputs.map(({ name }) => results[name]);
  };
}

/** Why a case does not pass, or nothing. */
export async function failureOf(each: Case): Promise<string | undefined> {
  try {
    const model = readModel(bytesOf(each.modelPath));
    const run = runnerOf(model);
    const given = each.dataSets(model);
    const sets = given.length > 0 ? given : [await answerOf(each.modelPath, model)];
    for (const { inputs, outputs } of sets) {
      const results = run(inputs);
      const differences = outputs.map((wanted, i) => wanted && difference(results[i], wanted));
      const wrong = differences.find((found) => found !== undefined);
      if (wrong) return `${WRONG} ${wrong}`;
    }
    if (sets.some(({ outputs }) => !outputs.some(Boolean))) return 'comes without a right answer';
    return undefined;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

/** Cases that stay out, each with its reason: `name: reason` on a line. */
export function leftOut(): Map<string, string> {
  const lines = readFileSync(new URL('left-out.txt', import.meta.url), 'utf8')
    .split('\n')
    .filter(Boolean);
  return new Map(lines.map((line) => line.split(/: (.*)/s, 2) as [string, string]));
}
