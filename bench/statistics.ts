/** Figures of repeated measurements, and what they say together. */

/** Of one quantity measured `count` times, in its own unit. */
export interface Figures {
  readonly best: number;
  readonly median: number;
  /** Nine of ten are no larger: with `best`, how far they spread. */
  readonly p90: number;
  readonly count: number;
}

export function figuresOf(values: readonly number[]): Figures {
  if (values.length === 0) throw new Error('assertion: figures of nothing');
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number): number =>
    sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] as number;
  return { best: at(0), median: at(0.5), p90: at(0.9), count: sorted.length };
}

export interface Ratio {
  readonly name: string;
  /** The peer's figure by ours: above 1 we are better. */
  readonly ratio: number;
}

/** Ratios multiply, so their mean is the geometric one; undefined of none. */
export function summarise(ratios: readonly Ratio[]): { mean: number; worst: Ratio; count: number } | undefined {
  const [first] = ratios;
  if (!first) return undefined;
  const mean = Math.exp(ratios.reduce((sum, { ratio }) => sum + Math.log(ratio), 0) / ratios.length);
  const worst = ratios.reduce((low, each) => (each.ratio < low.ratio ? each : low), first);
  return { mean, worst, count: ratios.length };
}
