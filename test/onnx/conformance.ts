/** Runs official cases on our kernels alone, without engine or fallback, and says why one does not pass. */
import { readFileSync } from 'node:fs';
import type { EngineValue } from '../../runtime/engine/value.ts';
import type { OnnxModel } from '../../runtime/onnx/graph.ts';
import { readModel } from '../../runtime/onnx/read.ts';
import { TestModel, type Way } from '../runtime/compile/run-program.ts';
import { bytesOf, type Case } from './cases.ts';
import { difference } from './difference.ts';
import { answerOf } from './oracle.ts';

/** Reasons begin with this word when a case ran and gave other numbers. */
export const WRONG = 'WRONG';

/** What runs a model: the one place to change when models run in another way. */
export function runnerOf(model: OnnxModel, way?: Way): (inputs: readonly EngineValue[]) => (EngineValue | undefined)[] {
  const runnable = new TestModel(model, way);
  const { inputs: declared, outputs } = model.graph;
  return (inputs) => {
    const results = runnable.runValues(
      Object.fromEntries(declared.map(({ name }, i) => [name, inputs[i] as EngineValue])),
    );
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
