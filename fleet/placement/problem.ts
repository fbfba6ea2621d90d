/** What is to be placed, and where it could go: pure data, checked, with a sentence for each thing that is wrong. */
import * as z from 'zod';
import { NAME_PATTERN } from '../../runtime/protocol/topics.ts';
import { priorities } from '../../runtime/triggers/schema.ts';

export const NODES_MAX = 20_000;
export const ITEMS_MAX = 10_000;
/** A unit is never divided, so a number of them is a number of decisions. */
const UNITS_MAX = 10_000_000;

const name = z.string().regex(NAME_PATTERN, 'expected letters, digits, _ and - only, 1 to 64 of them');
const labels = z.record(z.string().min(1).max(64), z.string().max(256));
const amount = z.number().min(0);
const positive = z.number().positive();
const count = z.int().min(1);

const nodeSchema = z.strictObject({
  name,
  /** So many alike, named name-1, name-2 …: for planning. */
  count: count.max(NODES_MAX).default(1),
  zone: z.string().max(64).default('').describe('where it stands; links connect zones'),
  labels: labels.default({}),
  cores: count.max(4096),
  speed: positive.default(1).describe('of a core, relative to the reference that workMs is stated for'),
  memoryBytes: amount.describe('for models'),
  gpus: z.int().min(0).max(64).default(0),
  gpuSpeed: positive.default(1).describe('relative to the reference GPU'),
  serviceMs: z.record(name, positive).default({}).describe('measured here, by item; instead of workMs / speed'),
  networkMbps: positive.optional().describe('for inputs from other zones; no limit when absent'),
  price: amount.default(1).describe('of one busy core or GPU'),
});

const itemSchema = z.strictObject({
  name,
  /** All requests that arrive in a second, over all units. */
  ratePerS: positive,
  workMs: positive.describe('mean service time on one reference core (or GPU)'),
  variability: amount
    .default(1)
    .describe('squared coefficient of variation of the service time; 0 when it is constant'),
  deadlineMs: positive.optional(),
  priority: z.enum(priorities).default('normal'),
  memoryBytes: amount.default(0).describe('on every node that serves it'),
  accelerator: z.enum(['cpu', 'gpu']).default('cpu'),
  /** Streams that the demand consists of: each goes to one node. As many as replicas when absent. */
  units: count.max(UNITS_MAX).optional(),
  replicas: count
    .max(NODES_MAX)
    .default(1)
    .describe('nodes to spread over: none takes more than units / replicas, rounded up'),
  data: z
    .strictObject({ zone: z.string().max(64), bytesPerRequest: amount })
    .optional()
    .describe('where inputs come from'),
  labels: labels.default({}).describe('that a node must have'),
  nodes: z.array(name).min(1).optional().describe('the only nodes that qualify'),
  apart: z.array(name).default([]).describe('items that must not share a node with it'),
  with: z.array(name).default([]).describe('items that must be on the same node'),
  budget: amount.optional().describe('the most that serving it may cost, the same for each unit'),
});

const linkSchema = z.strictObject({
  between: z.tuple([z.string().max(64), z.string().max(64)]),
  latencyMs: amount.default(0).describe('there and back'),
  costPerGB: amount.default(0),
});

const fileSchema = z.strictObject({
  nodes: z.array(nodeSchema).max(NODES_MAX),
  items: z.array(itemSchema).max(ITEMS_MAX),
  /** Zones without a link between them cannot exchange inputs; with no link at all, all can, at no cost. */
  links: z.array(linkSchema).max(10_000).default([]),
  promise: z.number().gt(0).lt(1).default(0.99).describe('share of the runs that must meet the deadline'),
});

export type PlacementNode = Omit<z.output<typeof nodeSchema>, 'count'>;
export type PlacementItem = Omit<z.output<typeof itemSchema>, 'units'> & { readonly units: number };
export type ZoneLink = z.output<typeof linkSchema>;

export interface Problem {
  readonly nodes: readonly PlacementNode[];
  readonly items: readonly PlacementItem[];
  readonly links: readonly ZoneLink[];
  readonly promise: number;
}

/** As written in a file: with defaults left out, and nodes in groups. */
export type ProblemInput = z.input<typeof fileSchema>;

/** Throws an Error that says where, what was expected and what came. @param source what the sentence begins with */
export function parseProblem(value: unknown, source: string): Problem {
  const result = fileSchema.safeParse(value);
  if (!result.success) {
    const { issues } = result.error;
    const issue = issues.find(({ code }) => code === 'unrecognized_keys') ?? issues[0];
    throw new Error(`${source}: ${placeOf(issue?.path ?? [], value)}${issue?.message}`, { cause: result.error });
  }
  const { nodes, items, links, promise } = result.data;
  const problem: Problem = {
    nodes: nodes.flatMap(expand),
    items: items.map((item) => ({ ...item, units: item.units ?? item.replicas })),
    links,
    promise,
  };
  const wrong = contradictionIn(problem);
  if (wrong) throw new Error(`${source}: ${wrong}`);
  return problem;
}

/** `items[3]` is hard to find in a long file: the item's name is said with it. */
function placeOf(path: readonly PropertyKey[], value: unknown): string {
  if (path.length === 0) return '';
  const [list, index, ...rest] = path;
  const entry = (value as Record<PropertyKey, Record<PropertyKey, { name?: unknown }> | undefined>)[list as string]?.[
    index as number
  ];
  const known = typeof entry?.name === 'string' ? ` ("${entry.name}")` : '';
  const tail = rest.map((key) => `.${String(key)}`).join('');
  return `${String(list)}${index === undefined ? '' : `[${String(index)}]`}${known}${tail}: `;
}

function expand({ count, ...node }: z.output<typeof nodeSchema>): PlacementNode[] {
  if (count === 1) return [node];
  return Array.from({ length: count }, (_, index) => ({ ...node, name: `${node.name}-${index + 1}` }));
}

function contradictionIn({ nodes, items, links }: Problem): string | undefined {
  if (nodes.length > NODES_MAX) return `expected at most ${NODES_MAX} nodes, got ${nodes.length}`;
  const nodeNames = new Set(nodes.map((node) => node.name));
  if (nodeNames.size < nodes.length) return `node "${repeated(nodes)}": expected one node of this name, got several`;
  const byName = new Map(items.map((item) => [item.name, item]));
  if (byName.size < items.length) return `item "${repeated(items)}": expected one item of this name, got several`;
  for (const item of items) {
    const where = `item "${item.name}"`;
    if (item.replicas > item.units)
      return `${where}: expected at most as many replicas as units (${item.units}), got ${item.replicas}`;
    for (const key of ['apart', 'with'] as const)
      for (const other of item[key]) {
        if (other === item.name) return `${where}, ${key}: expected other items, got itself; use replicas to spread it`;
        if (!byName.has(other)) return `${where}, ${key}: there is no item "${other}"`;
      }
    const both = item.with.find((other) => item.apart.includes(other) || byName.get(other)?.apart.includes(item.name));
    if (both !== undefined) return `${where}: "${both}" is to be with it and apart from it; leave one of them out`;
    const stranger = item.nodes?.find((node) => !nodeNames.has(node));
    if (stranger !== undefined) return `${where}, nodes: there is no node "${stranger}"`;
  }
  const circle = items.find((item) => follows(item, item, byName, new Set()));
  if (circle) return `item "${circle.name}", with: expected no circle; what must always be together is one item`;
  const pairs = links.map(({ between }) => [...between].sort().join('\n'));
  const twice = pairs.findIndex((pair, index) => pairs.indexOf(pair) < index);
  if (twice >= 0)
    return `links[${twice}]: expected one link between "${links[twice]?.between.join('" and "')}", got two`;
  return undefined;
}

function repeated(entries: readonly { readonly name: string }[]): string {
  const seen = new Set<string>();
  return entries.find((entry) => seen.size === seen.add(entry.name).size)?.name ?? '';
}

/** Whether a chain of `with` leads from `item` to `target`. */
function follows(
  item: PlacementItem,
  target: PlacementItem,
  byName: ReadonlyMap<string, PlacementItem>,
  seen: Set<string>,
): boolean {
  for (const other of item.with) {
    if (other === target.name) return true;
    if (seen.size === seen.add(other).size) continue;
    if (follows(byName.get(other) as PlacementItem, target, byName, seen)) return true;
  }
  return false;
}
