/** Problems of placement: fleets drawn by chance. */
import { type Problem, type ProblemInput, parseProblem, type ZoneLink } from '../../fleet/placement/problem.ts';

/** A whole number below a limit. */
export type Draw = (limit: number) => number;

export interface FleetShape {
  readonly nodes: number;
  readonly items: number;
  /** In all. */
  readonly units: number;
  readonly zones: number;
  /** Share of the fleet's capacity that the demand needs, about. */
  readonly fill: number;
}

const KINDS = [
  { cores: 2, speed: 0.6, memoryBytes: 2e9, price: 0.8 },
  { cores: 4, speed: 1, memoryBytes: 4e9, price: 1 },
  { cores: 4, speed: 1.4, memoryBytes: 8e9, price: 1.3 },
  { cores: 8, speed: 1.8, memoryBytes: 16e9, price: 1.5 },
  { cores: 8, speed: 2, memoryBytes: 32e9, price: 2, gpus: 1, gpuSpeed: 1 },
];

/** Gateways of five kinds in zones; items with data in a zone, of all priorities, some for GPUs, some bound to a label. */
export function randomProblem(shape: FleetShape, draw: Draw): Problem {
  const between = (low: number, high: number): number => low + (draw(10_000) / 10_000) * (high - low);
  const pick = <T>(list: readonly T[]): T => list[draw(list.length)] as T;
  const zones = Array.from({ length: shape.zones }, (_, index) => `zone-${index}`);
  const links: ZoneLink[] = zones.flatMap((a, i) =>
    zones
      .slice(i + 1)
      .map((b): ZoneLink => ({ between: [a, b], latencyMs: between(2, 20), costPerGB: between(5, 40) })),
  );
  const nodes = Array.from({ length: shape.nodes }, (_, index) => ({
    name: `n${index}`,
    zone: pick(zones),
    labels: { site: pick(['indoor', 'outdoor']) },
    ...pick(KINDS),
  }));
  const unitsEach = Math.max(1, Math.round(shape.units / shape.items));
  const servers = nodes.reduce((sum, { cores, speed }) => sum + cores * speed, 0);
  const workPerItem = (0.8 * shape.fill * servers) / shape.items;
  const items = Array.from({ length: shape.items }, (_, index): ProblemInput['items'][number] => {
    const workMs = between(2, 80);
    const units = Math.max(1, Math.round(unitsEach * between(0.3, 1.7)));
    const gpu = draw(20) === 0;
    const priority = pick(['safety', 'interactive', 'normal', 'normal', 'background'] as const);
    return {
      name: `i${index}`,
      workMs: gpu ? workMs / 4 : workMs,
      ratePerS: (workPerItem * between(0.3, 1.7) * 1000) / workMs / (gpu ? 4 : 1),
      variability: pick([0, 0.25, 1]),
      units,
      priority,
      accelerator: gpu ? 'gpu' : 'cpu',
      memoryBytes: between(5e6, 300e6),
      ...(priority !== 'background' && { deadlineMs: pick([500, 1000, 2000, 5000]) }),
      ...(draw(5) > 0 && { data: { zone: pick(zones), bytesPerRequest: between(1e3, 60e3) } }),
      ...(draw(10) === 0 && { labels: { site: 'outdoor' } }),
      replicas: Math.min(units, pick([1, 1, 1, 2, 3])),
    };
  });
  return parseProblem({ nodes, items, links }, 'random problem');
}
