/** `npm run bench -- cold` and `-- memory`. */
import { type BenchCase, modelCases } from './cases/model-cases.ts';
import type { ContenderName } from './contenders/contender.ts';
import { type FreshFigures, freshContenders, freshFigures } from './fresh.ts';
import type { ModeOptions, ModeResult } from './modes.ts';
import { type Figures, type Ratio, summarise } from './statistics.ts';

type Rows = Map<string, Map<ContenderName, FreshFigures>>;

const coldCases = ['silero-vad', 'ppocr-cls'];
const memoryCases = ['silero-vad', 'ppocr-cls', 'ppocr-det', 'MobileNetV2'];
/** After these the memory of all contenders has settled. */
const MEMORY_RUNS = 20;
const MEBIBYTE = 2 ** 20;

async function figures(
  names: readonly string[],
  { contenders, rounds, quick, only = '', data }: ModeOptions,
  runs: number,
): Promise<{ rows: Rows; contenders: ContenderName[] }> {
  const wanted = quick ? names.slice(0, 1) : names;
  const present = freshContenders.filter((name) => contenders.includes(name));
  const cases: BenchCase[] = modelCases(data).filter(({ name }) => wanted.includes(name) && name.includes(only));
  return { rows: await freshFigures(cases, present, { rounds, runs }), contenders: present };
}

/** One row for each model and quantity. */
function tableOf(
  { rows, contenders }: { rows: Rows; contenders: ContenderName[] },
  quantities: Readonly<Record<string, (figures: FreshFigures) => string>>,
): ModeResult['tables'][number] {
  const lines = [...rows].flatMap(([name, row]) =>
    Object.entries(quantities).map(([label, text]) => [
      `${name}: ${label}`,
      ...contenders.map((contender) => text(row.get(contender) as FreshFigures)),
    ]),
  );
  return { header: ['best (median)', ...contenders], rows: lines };
}

function ratios(rows: Rows, theirs: ContenderName, value: (figures: FreshFigures) => number): Ratio[] {
  return [...rows].flatMap(([name, row]) => {
    const [own, peer] = [row.get('ours'), row.get(theirs)];
    return own && peer ? [{ name, ratio: value(peer) / value(own) }] : [];
  });
}

const ms = ({ best, median }: Figures): string => `${best.toFixed(1)} ms (${median.toFixed(1)})`;
const mebibytes = ({ best, median }: Figures): string =>
  `${(best / MEBIBYTE).toFixed(1)} MiB (${(median / MEBIBYTE).toFixed(1)})`;

const asObject = (rows: Rows): object =>
  Object.fromEntries([...rows].map(([name, row]) => [name, Object.fromEntries(row)]));

/** From the start of a process to its first answer. */
export async function cold(options: ModeOptions): Promise<ModeResult> {
  const result = await figures(coldCases, options, 0);
  const lines = (['onnxruntime-web', 'onnxruntime-node'] as const).flatMap((theirs) => {
    const summary = summarise(ratios(result.rows, theirs, ({ wholeMs }) => wholeMs.best));
    return summary
      ? [
          `cold vs ${theirs}: ${summary.mean.toFixed(2)} (worst ${summary.worst.ratio.toFixed(2)} ${summary.worst.name})`,
        ]
      : [];
  });
  for (const [name, row] of result.rows) {
    const own = row.get('ours');
    if (own) lines.push(`cold, our engine alone, ${name}: ${ms(own.engineMs)}`);
  }
  const table = tableOf(result, {
    'process start to first answer': ({ wholeMs }) => ms(wholeMs),
    'the very first process': ({ firstEverMs }) => `${firstEverMs.toFixed(1)} ms`,
    'engine, model and first run': ({ engineMs }) => ms(engineMs),
    'first run': ({ firstRunMs }) => ms(firstRunMs),
  });
  return { tables: [table], notes: [], lines, record: { cases: asObject(result.rows) } };
}

/** The most that was resident: until the first answer, and after some runs. */
export async function memory(options: ModeOptions): Promise<ModeResult> {
  const result = await figures(memoryCases, options, MEMORY_RUNS);
  const lines = (['onnxruntime-web', 'onnxruntime-node'] as const).flatMap((theirs) => {
    const summary = summarise(ratios(result.rows, theirs, ({ peakBytes }) => peakBytes.best));
    if (!summary) return [];
    const { mean, worst } = summary;
    return [
      `memory vs ${theirs}: ${(1 / mean).toFixed(2)} of theirs (worst ${(1 / worst.ratio).toFixed(2)} ${worst.name})`,
    ];
  });
  const table = tableOf(result, {
    'peak until the first answer': ({ firstPeakBytes }) => mebibytes(firstPeakBytes),
    [`peak after ${MEMORY_RUNS} runs`]: ({ peakBytes }) => mebibytes(peakBytes),
  });
  return { tables: [table], notes: [], lines, record: { cases: asObject(result.rows) } };
}
