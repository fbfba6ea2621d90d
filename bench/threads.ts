/**
 * `npm run bench -- threads`: whole models on two cores of our engine against one, in turns; then the same while another process computes
 * without a pause, which leaves two threads of ours a core and a half at the best.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createEngine, type Engine } from '../runtime/engine/engine.ts';
import type { GivenOutputs } from '../runtime/engine/given-outputs.ts';
import type { Model } from '../runtime/engine/model.ts';
import { tensorsOf } from '../runtime/engine/value.ts';
import { type BenchCase, modelCases } from './cases/model-cases.ts';
import { arraysFor } from './contenders/own.ts';
import type { ModeOptions, ModeResult } from './modes.ts';
import { type Figures, figuresOf, summarise } from './statistics.ts';

/** Models of more than 100 million multiply-adds. */
const large = [
  ...['MobileNetV2', 'InceptionV3', 'ppocr-det', 'ppocr-rec', 'yolox_nano/yolox_nano', 'twinlitenet_lane/twinlitenet'],
  ...['human_tfjs/blazepose-lite', 'super_resolution/super_resolution', 'road_segmentation_adas_0001/model_float32'],
  ...['tbefn_lowlight/tbefn_180x320', 'mlsd/mlsd_320x320_tiny', 'mobilenetv2_int8/mobilenetv2_int8_qdq'],
];
const quickCases = ['ppocr-cls'];
/** Runs before anything counts: what is hot is compiled, further threads start, and the engine finds out whether to share. */
const WARM_UP_RUNS = 8;
const RUNS = 8;
const QUICK_RUNS = 1;
/** What another process does, at the usual priority. */
const BUSY = 'for (;;);';

interface Contest {
  readonly name: string;
  readonly one: Figures;
  readonly two: Figures;
}

async function timeOf(
  model: Model,
  inputs: Parameters<Model['run']>[0],
  into: GivenOutputs,
): Promise<{ ms: number; bytes: Buffer[] }> {
  const started = performance.now();
  const { outputs } = await model.run(inputs, { outputs: into });
  const ms = performance.now() - started;
  return { ms, bytes: Object.values(tensorsOf(outputs)).map(({ data }) => Buffer.from(data.buffer)) };
}

/** Throws an Error when two cores come to other bits than one. */
async function contest(engines: readonly [Engine, Engine], each: BenchCase, runs: number): Promise<Contest> {
  const { model: file, inputs } = await each.job();
  const bytes = typeof file === 'string' ? new Uint8Array(readFileSync(file)) : file;
  const models = (await Promise.all(engines.map((engine) => engine.load(bytes, { name: each.name })))) as [
    Model,
    Model,
  ];
  const into = [await arraysFor(models[0], inputs), await arraysFor(models[1], inputs)] as const;
  const times: [number[], number[]] = [[], []];
  for (let run = -WARM_UP_RUNS; run < runs; run++) {
    const [one, two] = [await timeOf(models[0], inputs, into[0]), await timeOf(models[1], inputs, into[1])];
    if (one.bytes.some((part, index) => !part.equals(two.bytes[index] as Buffer)))
      throw new Error(`model "${each.name}": two cores come to another answer than one`);
    if (run < 0) continue;
    times[0].push(one.ms);
    times[1].push(two.ms);
  }
  for (const model of models) await model.close();
  return { name: each.name, one: figuresOf(times[0]), two: figuresOf(times[1]) };
}

async function contests(cases: readonly BenchCase[], runs: number): Promise<Contest[]> {
  const engines = [await createEngine({ cores: 1 }), await createEngine({ cores: 2 })] as const;
  const results: Contest[] = [];
  for (const each of cases) results.push(await contest(engines, each, runs));
  for (const engine of engines) await engine.close();
  return results;
}

const ratio = (results: readonly Contest[], figure: 'best' | 'median') =>
  summarise(results.map(({ name, one, two }) => ({ name, ratio: one[figure] / two[figure] })));

/** By best times where the second core is free; by medians where another process wants it now and then. */
function lineOf(label: string, results: readonly Contest[], figure: 'best' | 'median'): string[] {
  const summary = ratio(results, figure);
  if (!summary) return [];
  const { mean, worst, count } = summary;
  const worstCase = `worst ${worst.ratio.toFixed(2)} ${worst.name}`;
  return [`threads: two against one, ${label}: ${mean.toFixed(2)} (${worstCase}; ${count} cases)`];
}

export async function threads({ quick, rounds, only = '', data }: ModeOptions): Promise<ModeResult> {
  const names = quick ? quickCases : large;
  const cases = modelCases(data).filter(({ name }) => names.includes(name) && name.includes(only));
  const runs = quick ? QUICK_RUNS : RUNS * rounds;
  const free = await contests(cases, runs);
  const busy = spawn(process.execPath, ['--eval', BUSY], { stdio: 'ignore' });
  await once(busy, 'spawn');
  const contended = await contests(cases, runs).finally(() => busy.kill('SIGKILL'));
  const row = ({ name, one, two }: Contest, index: number): string[] => {
    const other = contended[index] as Contest;
    const times = [one.best, two.best, other.one.median, other.two.median].map((ms) => ms.toFixed(2));
    return [name, ...times, (one.best / two.best).toFixed(2), (other.one.median / other.two.median).toFixed(2)];
  };
  const header = ['ms', 'one, free', 'two, free', 'one, contended', 'two, contended', '× free', '× contended'];
  return {
    tables: [{ header, rows: free.map(row) }],
    notes: [],
    lines: [...lineOf('free', free, 'best'), ...lineOf('contended', contended, 'median')],
    record: { free, contended },
  };
}
