/** What onnxruntime says to random numbers, for cases that come without a right answer. */
import { readFileSync } from 'node:fs';
import type { Tensor } from '../../runtime/engine/tensor.ts';
import type { OnnxModel } from '../../runtime/onnx/graph.ts';
import { Random } from '../random.ts';
import type { DataSet } from './cases.ts';

/** Rows of a table, where the model leaves their number open. */
const ROWS = 5;

export async function answerOf(path: string, { graph }: OnnxModel): Promise<DataSet> {
  // 14 MB that most cases have no use for.
  const ort = await import('onnxruntime-web');
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  const random = new Random(1);
  const inputs = graph.inputs.map(({ dims }) =>
    random.tensor(dims.map((size) => (typeof size === 'number' ? size : ROWS))),
  );
  const session = await ort.InferenceSession.create(new Uint8Array(readFileSync(path)), {
    executionProviders: ['wasm'],
  });
  const feeds = graph.inputs.map(({ name }, i) => {
    const { data, dims } = inputs[i] as Tensor;
    return [name, new ort.Tensor('float32', data as Float32Array, dims)];
  });
  const results = (await session.run(Object.fromEntries(feeds))) as unknown as Record<string, Tensor>;
  await session.release();
  return { inputs, outputs: graph.outputs.map(({ name }) => results[name]) };
}
