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

/** Problems on which simple methods are known to do badly. Each can be solved so that everything is served. */
export const adversarialProblems: Readonly<Record<string, () => Problem>> = {
  'first fit decreasing: 11/9': () => packing(90, { 503: 60, 256: 60, 253: 60, 244: 120 }),
  'first fit: 1/2, 1/3, 1/7': () => packing(84, { 144: 84, 334: 84, 501: 84 }),
  'chain of items apart': chainApart,
  'one scarce resource': scarceGpu,
  'everything wants one zone': crowdedZone,
};

/** Items of so many sizes, as many as stated, into the memory of nodes of 1,000. */
function packing(nodes: number, countOf: Readonly<Record<number, number>>): Problem {
  const items = Object.entries(countOf).flatMap(([size, count]) =>
    Array.from({ length: count }, (_, index) => ({
      name: `size-${size}-${index}`,
      ratePerS: 0.01,
      workMs: 10,
      memoryBytes: Number(size),
    })),
  );
  return parseProblem({ nodes: [{ name: 'bin', count: nodes, cores: 1, memoryBytes: 1000 }], items }, 'packing');
}

/** Forty items, each apart from the next and on half of the nodes; only every other one may share nodes. Half the nodes are dearer. */
function chainApart(): Problem {
  const node = { cores: 4, memoryBytes: 4e9 };
  const items = Array.from({ length: 40 }, (_, index) => ({
    name: `link-${index}`,
    ...{ ratePerS: 30, workMs: 10, units: 30, replicas: 30, memoryBytes: 10e6 },
    apart: index > 0 ? [`link-${index - 1}`] : [],
  }));
  const nodes = [
    { ...node, name: 'cheap', count: 30 },
    { ...node, name: 'dear', count: 30, price: 1.5 },
  ];
  return parseProblem({ nodes, items }, 'chain');
}

/** Items for GPUs fill the few GPU nodes to the brim; the others would find these nodes the cheapest, too. */
function scarceGpu(): Problem {
  const nodes = [
    { name: 'plain', count: 190, cores: 4, memoryBytes: 4e9 },
    { name: 'gpu', count: 10, cores: 8, speed: 2, memoryBytes: 4e9, gpus: 1, price: 0.9 },
  ];
  const gpuItems = Array.from({ length: 20 }, (_, index) => ({
    name: `vision-${index}`,
    ...{ accelerator: 'gpu' as const, ratePerS: 32 + index, workMs: 8, units: 40, deadlineMs: 200, memoryBytes: 400e6 },
  }));
  const others = Array.from({ length: 100 }, (_, index) => ({
    name: `other-${index}`,
    ...{ ratePerS: 40 + (index % 7), workMs: 90, units: 60, memoryBytes: 300e6, deadlineMs: 5000 },
  }));
  return parseProblem({ nodes, items: [...others, ...gpuItems] }, 'scarce');
}

/** One zone is near to all data and too small; sending items elsewhere costs each another amount. */
function crowdedZone(): Problem {
  const nodes = [
    { name: 'near', count: 20, zone: 'near', cores: 4, memoryBytes: 4e9 },
    { name: 'far', count: 60, zone: 'far', cores: 4, memoryBytes: 4e9 },
    { name: 'farther', count: 60, zone: 'farther', cores: 4, memoryBytes: 4e9, price: 0.8 },
  ];
  const items = Array.from({ length: 120 }, (_, index) => ({
    name: `stream-${index}`,
    ...{ ratePerS: 100, workMs: 10 + (index % 13), units: 40, memoryBytes: 20e6, deadlineMs: 1000 },
    data: { zone: 'near', bytesPerRequest: 1000 * (1 + ((index * 37) % 101)) },
  }));
  const links = [
    { between: ['near', 'far'] as [string, string], latencyMs: 5, costPerGB: 100 },
    { between: ['near', 'farther'] as [string, string], latencyMs: 20, costPerGB: 200 },
  ];
  return parseProblem({ nodes, items, links }, 'crowded');
}
