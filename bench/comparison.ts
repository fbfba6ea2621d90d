/** A list of cases against a list of contenders: a table of milliseconds, and the ratios that follow from it. */
import type { BenchCase } from './cases/model-cases.ts';
import type { ContenderName } from './contenders/contender.ts';
import { type Bounds, Contestant, type Outcome, type RoundOptions, runCase } from './rounds.ts';
import { type Figures, type Ratio, summarise } from './statistics.ts';

const FLOAT: Bounds = { relativeMax: 1e-3, cosineMin: 0.99999 };
/** A sum that lies between two steps goes to either: onnxruntime with and without its own optimiser comes to a cosine of 0.978. */
const QUANTIZED: Bounds = { relativeMax: 0, cosineMin: 0.95 };

/** Their time by ours. */
export interface RatioLine {
  readonly label: string;
  readonly ours: ContenderName;
  readonly theirs: ContenderName;
  /** Compares the computation alone, on tensors that both engines hold; else the call as a whole. */
  readonly inside?: boolean;
  /** Which cases count; all when absent. */
  readonly only?: (name: string) => boolean;
  /** The case whose figure is theirs; the same when absent. */
  readonly theirCase?: (name: string) => string | undefined;
}

export interface Comparison {
  readonly outcomes: ReadonlyMap<string, ReadonlyMap<ContenderName, Outcome>>;
  /** What each contender says about itself. */
  readonly about: Readonly<Record<string, string>>;
}

export async function compareAll(
  cases: readonly BenchCase[],
  names: readonly ContenderName[],
  options: RoundOptions,
): Promise<Comparison> {
  const contestants = names.map((name) => new Contestant(name));
  const outcomes = new Map<string, ReadonlyMap<ContenderName, Outcome>>();
  try {
    for (const [index, each] of cases.entries()) {
      process.stderr.write(`${index + 1}/${cases.length} ${each.name} …\n`);
      try {
        const job = await each.job();
        outcomes.set(each.name, await runCase(contestants, job, each.quantized ? QUANTIZED : FLOAT, options));
      } catch (error) {
        console.log(`skipped: ${each.name} (${(error as Error).message})`);
      }
    }
  } finally {
    for (const contestant of contestants) await contestant.close();
  }
  return { outcomes, about: Object.fromEntries(contestants.map(({ name, about }) => [name, about])) };
}

function figures(outcome: Outcome | undefined, inside = false): Figures | undefined {
  if (!outcome || 'refused' in outcome) return undefined;
  return inside ? outcome.inside : outcome.figures;
}

export function ratiosOf({ outcomes }: Comparison, line: RatioLine, figure: 'best' | 'median'): Ratio[] {
  const { ours, theirs, inside = false, only = () => true, theirCase = (name) => name } = line;
  return [...outcomes].flatMap(([name, row]) => {
    const mine = figures(row.get(ours), inside);
    const other = figures(outcomes.get(theirCase(name) ?? '')?.get(theirs), inside);
    return mine && other && only(name) ? [{ name, ratio: other[figure] / mine[figure] }] : [];
  });
}

const digits = (ms: number): string => (ms >= 100 ? ms.toFixed(0) : ms >= 10 ? ms.toFixed(1) : ms.toFixed(3));

/** Best, and how much more nine of ten runs take at most. */
function cell(outcome: Outcome | undefined): string {
  if (!outcome) return '';
  if ('refused' in outcome) return '–';
  const { best, median, p90 } = outcome.figures;
  return `${digits(best)} (${digits(median)}, +${(((p90 - best) / best) * 100).toFixed(0)}%)`;
}

/** Milliseconds of every contender: best (median, spread); then the ratio of each line that is about all cases. */
export function tableOf(
  comparison: Comparison,
  names: readonly ContenderName[],
  lines: readonly RatioLine[],
): { header: string[]; rows: string[][] } {
  const columns = lines.filter(({ only }) => !only);
  const ratios = columns.map(
    (line) => new Map(ratiosOf(comparison, line, 'best').map(({ name, ratio }) => [name, ratio])),
  );
  const rows = [...comparison.outcomes].map(([name, row]) => [
    name,
    ...names.map((contender) => cell(row.get(contender))),
    ...ratios.map((known) => known.get(name)?.toFixed(2) ?? ''),
  ]);
  return { header: ['ms: best (median, spread)', ...names, ...columns.map(({ label }) => `× ${label}`)], rows };
}

/** Every refusal that is not just a contender without a form of the case. */
export function refusals({ outcomes }: Comparison): string[] {
  return [...outcomes].flatMap(([name, row]) =>
    [...row].flatMap(([contender, outcome]) =>
      'refused' in outcome && !/TensorFlow\.js/.test(outcome.refused)
        ? [`${name}: ${contender}: ${outcome.refused}`]
        : [],
    ),
  );
}

export interface RatioSummary {
  readonly label: string;
  readonly mean: number;
  readonly worst: number;
  readonly worstCase: string;
  readonly meanOfMedians: number;
  readonly cases: number;
}

export function summaryOf(comparison: Comparison, line: RatioLine): RatioSummary | undefined {
  const best = summarise(ratiosOf(comparison, line, 'best'));
  const median = summarise(ratiosOf(comparison, line, 'median'));
  if (!best || !median) return undefined;
  const { mean, worst, count } = best;
  return {
    label: line.label,
    mean,
    worst: worst.ratio,
    worstCase: worst.name,
    meanOfMedians: median.mean,
    cases: count,
  };
}

export function summaryText(
  mode: string,
  { label, mean, worst, worstCase, meanOfMedians, cases }: RatioSummary,
): string {
  const detail = `worst ${worst.toFixed(2)} ${worstCase}; by medians ${meanOfMedians.toFixed(2)}; ${cases} cases`;
  return `${mode} vs ${label}: ${mean.toFixed(2)} (${detail})`;
}
