/** What `npm run bench` can measure. */
import { batches } from './batches.ts';
import { blocking } from './blocking.ts';
import { type BenchCase, modelCases } from './cases/model-cases.ts';
import { isTransformerCase, operatorCases } from './cases/operator-cases.ts';
import { compareAll, type RatioLine, refusals, summaryOf, summaryText, tableOf } from './comparison.ts';
import type { ContenderName } from './contenders/contender.ts';
import { dispatch } from './dispatch.ts';
import { cold, memory } from './fresh-modes.ts';
import { instructions } from './instructions.ts';
import { placement } from './placement.ts';
import { preemption } from './preemption/preemption-mode.ts';
import { scale } from './scale.ts';
import { scheduler } from './scheduling/scheduler-mode.ts';
import { threads } from './threads.ts';

export interface ModeOptions {
  /** The reference of the answers first. */
  readonly contenders: readonly ContenderName[];
  readonly rounds: number;
  /** A few cases, for a test. */
  readonly quick: boolean;
  /** Part of the names of the cases to run. */
  readonly only?: string;
  /** Folder of models and datasets; it may be missing. */
  readonly data: string;
  /** How long `preemption` lets a gateway serve at 95%. */
  readonly minutes: number;
  /** Adds a line to the file of results at once: what runs for long says what it has so far. */
  readonly record: (part: object) => void;
}

export interface ModeResult {
  readonly tables: readonly { readonly header: readonly string[]; readonly rows: readonly (readonly string[])[] }[];
  readonly notes: readonly string[];
  /** What the acceptance reads. */
  readonly lines: readonly string[];
  /** All figures, for the file of results. */
  readonly record: object;
}

type Mode = (options: ModeOptions) => Promise<ModeResult>;

const TIMES = { warmUpMs: 300, budgetMs: 25, runsMax: 200 };
const QUICK_TIMES = { warmUpMs: 0, budgetMs: 2, runsMax: 200 };

const quickModels = ['silero-vad', 'ppocr-cls'];
const quickInt8 = ['mlperf_tiny/ad_int8_qdq', 'mlperf_tiny/ad_fp32'];
const quickOperators = ['Conv 3×3 512→512, 7×7', 'LayerNormalization 128×768'];

export async function compareCases(
  mode: string,
  cases: readonly BenchCase[],
  lines: readonly RatioLine[],
  { contenders, rounds, quick, only = '' }: ModeOptions,
): Promise<ModeResult> {
  const chosen = cases.filter(({ name }) => name.includes(only));
  const comparison = await compareAll(chosen, contenders, { rounds, ...(quick ? QUICK_TIMES : TIMES) });
  const summaries = lines.flatMap((line) => summaryOf(comparison, line) ?? []);
  const outcomes = Object.fromEntries([...comparison.outcomes].map(([name, row]) => [name, Object.fromEntries(row)]));
  return {
    tables: [tableOf(comparison, contenders, lines)],
    notes: refusals(comparison),
    lines: summaries.map((summary) => summaryText(mode, summary)),
    record: { contenders: comparison.about, summaries, cases: outcomes },
  };
}

const models: Mode = (options) => {
  const all = modelCases(options.data);
  const cases = options.quick ? all.filter(({ name }) => quickModels.includes(name)) : all;
  return compareCases(
    'models',
    cases,
    [
      { label: 'onnxruntime-web', ours: 'ours', theirs: 'onnxruntime-web' },
      { label: 'onnxruntime-node', ours: 'ours', theirs: 'onnxruntime-node' },
      { label: 'tfjs-flag', ours: 'ours', theirs: 'tfjs-flag' },
      { label: 'onnxruntime-web, ours without the V8 flag', ours: 'ours-128', theirs: 'onnxruntime-web' },
    ],
    options,
  );
};

const operators: Mode = (options) => {
  const all = operatorCases();
  const cases = options.quick ? all.filter(({ name }) => quickOperators.includes(name)) : all;
  const transformer = { only: isTransformerCase, ours: 'ours' } as const;
  return compareCases(
    'operators',
    cases,
    [
      { label: 'onnxruntime-web', ours: 'ours', theirs: 'onnxruntime-web' },
      { label: 'onnxruntime-node', ours: 'ours', theirs: 'onnxruntime-node' },
      { label: 'tfjs-flag', ours: 'ours', theirs: 'tfjs-flag', inside: true },
      { label: 'onnxruntime-node, transformer blocks', ...transformer, theirs: 'onnxruntime-node' },
      { label: 'onnxruntime-web, transformer blocks', ...transformer, theirs: 'onnxruntime-web' },
    ],
    options,
  );
};

/** 8-bit models against onnxruntime's, and against our own float32 models of the same networks. */
const int8: Mode = (options) => {
  const all = modelCases(options.data);
  const floatOf = new Map(all.map(({ name, floatCase }) => [name, floatCase]));
  const partners = [...floatOf.values()];
  const cases = all.filter(({ name, quantized }) => quantized || partners.includes(name));
  const quick = options.quick ? cases.filter(({ name }) => quickInt8.includes(name)) : cases;
  const only = (name: string): boolean => cases.some((each) => each.name === name && each.quantized);
  return compareCases(
    'int8',
    quick,
    [
      { label: 'onnxruntime-web', ours: 'ours', theirs: 'onnxruntime-web', only },
      { label: 'onnxruntime-node', ours: 'ours', theirs: 'onnxruntime-node', only },
      { label: 'our float32', ours: 'ours', theirs: 'ours', only, theirCase: (name) => floatOf.get(name) },
    ],
    options,
  );
};

export const modes: Readonly<Record<string, Mode>> = {
  ...{ models, operators, int8, cold, memory, blocking },
  ...{ scheduler, preemption, placement, dispatch, scale, threads, instructions, batches },
};
