/**
 * `npm run bench -- batches`: runs that are computed together against as many one after the other, on one core, in turns: by our engine,
 * and by onnxruntime as it stands in for what our kernels lack. Above 1 the batch is quicker.
 */
import { batchAxes } from '../runtime/engine/batches.ts';
import type { Tensor, TypedArray } from '../runtime/engine/tensor.ts';
import { memorySource } from '../runtime/onnx/byte-source.ts';
import { fileSource } from '../runtime/onnx/file-io.ts';
import { readModel } from '../runtime/onnx/read.ts';
import { type BenchCase, modelCases } from './cases/model-cases.ts';
import type { Engine, Job, Opened, Tensors } from './contenders/contender.ts';
import { onnxruntimeNode, onnxruntimeWeb } from './contenders/onnxruntime.ts';
import { ownEngine } from './contenders/own.ts';
import type { ModeOptions, ModeResult } from './modes.ts';

/** Those whose files leave the number of inputs open. */
const names = ['silero-vad', 'ppocr-cls', 'ppocr-rec', 'super_resolution/super_resolution'];
const quickNames = ['ppocr-cls'];
const SIZES = [2, 4, 8];
/** Before anything counts, and of each size a round. */
const WARM_UP_TURNS = 4;
const TURNS = 6;
const engines = { ours: ownEngine, 'onnxruntime-web': onnxruntimeWeb, 'onnxruntime-node': onnxruntimeNode };

/** The same input so many times along the axis. */
function repeated({ type, dims, data }: Tensor, axis: number, times: number): Tensor {
  const inner = dims.slice(axis).reduce((product, size) => product * size, 1);
  const all = new (data.constructor as new (length: number) => TypedArray)(data.length * times);
  for (let at = 0; at < data.length; at += inner)
    for (let time = 0; time < times; time++) all.set(data.subarray(at, at + inner) as never, at * times + time * inner);
  return { type, dims: dims.with(axis, times), data: all };
}

function together({ model, inputs, ...job }: Job, times: number): Job {
  const { graph } = readModel(typeof model === 'string' ? fileSource(model) : memorySource(model));
  const axes = batchAxes(graph.inputs, inputs) ?? {};
  const all = Object.entries(inputs).map(([name, tensor]): [string, Tensor] => {
    const axis = axes[name];
    return [name, axis === undefined ? tensor : repeated(tensor, axis, times)];
  });
  return { ...job, model, inputs: Object.fromEntries(all) as Tensors };
}

async function msOf(opened: Opened, times: number): Promise<number> {
  let ms = 0;
  // The first one finds the cache as the other way has left it.
  await opened.run();
  for (let time = 0; time < times; time++) ms += (await opened.run()).ms;
  return ms;
}

interface Outcome {
  readonly runs: number;
  /** Best times, in a row and together. */
  readonly rowMs: number;
  readonly togetherMs: number;
}

async function contest(engine: Engine, job: Job, turns: number): Promise<Outcome[]> {
  const one = await engine.open(job);
  const outcomes: Outcome[] = [];
  for (const runs of SIZES) {
    const all = await engine.open(together(job, runs));
    let [rowMs, togetherMs] = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
    for (let turn = -WARM_UP_TURNS; turn < turns; turn++) {
      const [row, at] = [await msOf(one, runs), await msOf(all, 1)];
      if (turn < 0) continue;
      rowMs = Math.min(rowMs, row);
      togetherMs = Math.min(togetherMs, at);
    }
    await all.close();
    outcomes.push({ runs, rowMs, togetherMs });
  }
  await one.close();
  return outcomes;
}

export async function batches({ quick, rounds, only = '', data, contenders }: ModeOptions): Promise<ModeResult> {
  const wanted = quick ? quickNames : names;
  const cases = modelCases(data).filter(({ name }) => wanted.includes(name) && name.includes(only));
  const results: { name: string; by: string; outcomes: Outcome[] }[] = [];
  for (const [by, start] of Object.entries(engines)) {
    if (!contenders.some((name) => name === by)) continue;
    const engine = await start();
    for (const each of cases as BenchCase[])
      results.push({ name: each.name, by, outcomes: await contest(engine, await each.job(), TURNS * rounds) });
  }
  const gain = ({ rowMs, togetherMs }: Outcome): string => (rowMs / togetherMs).toFixed(2);
  const rows = results.map(({ name, by, outcomes }) => {
    const [first] = outcomes as [Outcome];
    return [name, by, (first.rowMs / first.runs).toFixed(3), ...outcomes.map(gain)];
  });
  const lines = results.map(({ name, by, outcomes }) => {
    const gains = outcomes.map((outcome) => `${outcome.runs}: ${gain(outcome)}`).join(', ');
    return `batches: ${name} by ${by}: ${gains}`;
  });
  const header = ['model', 'engine', 'ms a run', ...SIZES.map((runs) => `× of ${runs}`)];
  return { tables: [{ header, rows }], notes: [], lines, record: { results } };
}
