/** Which node serves what, why, and what would be if: of the fleet, or of a file for planning before buying. */
import { parse } from 'yaml';
import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import type { FleetProblem } from '../controller/fleet-problem.ts';
import type { ControllerService } from '../controller/service.ts';
import { explainItem, type ItemReport, shortList } from '../placement/explain.ts';
import { type Problem, parseProblem } from '../placement/problem.ts';
import { gapOf, type Solution, solve } from '../placement/solve.ts';
import { changeProblem } from '../placement/what-if.ts';
import { defineCommand, type Style } from './command.ts';
import { readLocalText } from './files-io.ts';

const FILE_BYTES_MAX = 2 ** 26;
/** Rows that a person wants to see; --json has all. */
const ROWS_MAX = 40;

/** In place of the fleet's own problem; on a command line, a file. */
const problem = z.record(z.string(), z.unknown()).optional();
const file = z
  .string()
  .optional()
  .describe('YAML or JSON file with nodes and items (docs/placement.md), in place of the fleet');
const item = nameSchema.describe('item: a trigger of the fleet, or an item of the file');
const changes = {
  addNode: z.array(z.string()).optional().describe('NAME or NAME=COUNT: so many more nodes like this one'),
  loseNode: z.array(z.string()).optional().describe('node to do without'),
  demand: z.array(z.string()).optional().describe('factor, as ×2 or x2, or ITEM=factor'),
};

async function readProblem(path: string | undefined): Promise<{ problem?: Record<string, unknown> }> {
  if (path === undefined) return {};
  const text = await readLocalText(path, FILE_BYTES_MAX);
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw new Error(`${path}: ${(cause as Error).message}`, { cause });
  }
  parseProblem(value, path);
  return { problem: value as Record<string, unknown> };
}

async function problemOf(
  given: Record<string, unknown> | undefined,
  controller: ControllerService,
): Promise<FleetProblem> {
  if (given === undefined) return controller.placement();
  return { problem: parseProblem(given, 'problem'), assumptions: [], now: {} };
}

interface Placed {
  readonly nodes: number;
  readonly items: readonly {
    readonly item: string;
    readonly units: number;
    readonly served: number;
    readonly nodes: readonly { readonly node: string; readonly units: number }[];
    /** Where the fleet has it at present. */
    readonly now?: readonly string[];
  }[];
  /** In busy cores, with what leaving units out costs. */
  readonly cost: number;
  readonly bound: number;
  /** (cost - bound) / bound: no placement is better by more. */
  readonly gap: number;
  readonly proof: Solution['proof'];
  readonly assumptions: readonly string[];
}

function placedFrom(solution: Solution, { assumptions, now }: Pick<FleetProblem, 'assumptions' | 'now'>): Placed {
  const { search, bound, proof } = solution;
  const { instance, assignment } = search;
  const items = instance.items.map(({ name, units }, index) => ({
    ...{ item: name, units, served: assignment.served[index] as number },
    nodes: [...(assignment.nodesOf[index] as Map<number, number>)].map(([node, count]) => {
      return { node: instance.nodes[node]?.name as string, units: count };
    }),
    ...(now[name] && { now: now[name] }),
  }));
  return {
    nodes: instance.nodes.length,
    items,
    cost: assignment.cost,
    bound,
    gap: gapOf(solution),
    proof,
    assumptions,
  };
}

export const placementProblem = defineCommand({
  name: ['placement', 'problem'],
  summary: 'Print the fleet as a problem of placement: to change it, and plan with --problem FILE',
  arguments: z.strictObject({}),
  permission: 'read',
  run: (_, { controller }) => controller.placement(),
  render: ({ problem: found }) => JSON.stringify(found, null, 2),
});

export const placementShow = defineCommand({
  name: ['placement', 'show'],
  summary: 'Say which node should serve what, and how far from the best that may be',
  arguments: z.strictObject({ problem }),
  local: { arguments: z.strictObject({ problem: file }), prepare: (args) => readProblem(args.problem) },
  permission: 'read',
  async run(args, { controller }): Promise<Placed> {
    const found = await problemOf(args.problem, controller);
    return placedFrom(await solve(found.problem), found);
  },
  render: renderPlaced,
});

export const placementExplain = defineCommand({
  name: ['placement', 'explain'],
  summary: 'Say why an item is where it is: the candidates, what excludes each, the scores, what would change it',
  arguments: z.strictObject({ item, problem }),
  local: {
    arguments: z.strictObject({ item, problem: file }),
    positionals: ['item'],
    prepare: async (args) => ({ item: args.item, ...(await readProblem(args.problem)) }),
  },
  positionals: ['item'],
  permission: 'read',
  async run(args, { controller }) {
    const found = await problemOf(args.problem, controller);
    const solution = await solve(found.problem);
    const decision = args.problem === undefined ? found.decisions?.[args.item] : undefined;
    return {
      ...explainItem(solution.search, args.item),
      gap: gapOf(solution),
      proof: solution.proof,
      ...(decision && { decision }),
    };
  },
  render: renderItem,
});

export const placementWhatIf = defineCommand({
  name: ['placement', 'what-if'],
  summary: 'Say what would be served, and where, with more nodes, fewer, or another demand',
  arguments: z.strictObject({ ...changes, problem }),
  local: {
    arguments: z.strictObject({ ...changes, problem: file }),
    prepare: async ({ problem: path, ...rest }) => ({ ...rest, ...(await readProblem(path)) }),
  },
  permission: 'read',
  async run({ problem: given, ...change }, { controller }) {
    if (!change.addNode && !change.loseNode && !change.demand)
      throw new Error('placement what-if: expected --add-node, --lose-node or --demand; nothing would change');
    const found = await problemOf(given, controller);
    const changed: Problem = changeProblem(found.problem, change);
    const before = placedFrom(await solve(found.problem), found);
    const after = placedFrom(await solve(changed), { assumptions: found.assumptions, now: {} });
    return { before, after };
  },
  render: ({ before, after }, style) => renderChange(before, after, style),
});

const percent = (share: number): string => `${(100 * share).toFixed(2)}%`;

function summary({ cost, gap, proof, items }: Placed, style: Style): string {
  const left = items.filter(({ served, units }) => served < units);
  const proved =
    gap === 0 ? `the best there is, by the ${proof}` : `at most ${percent(gap)} above the best, by the ${proof}`;
  const all =
    left.length === 0
      ? style.good('everything is served')
      : style.bad(`${left.length} of ${items.length} items are not served in full`);
  return `${all}; cost ${cost.toFixed(3)} busy cores, ${proved}`;
}

function nodesText(nodes: readonly { readonly node: string; readonly units: number }[]): string {
  return shortList(nodes.map(({ node, units }) => (units === 1 ? node : `${node} ×${units}`)));
}

function renderPlaced(placed: Placed, style: Style): string {
  const { items, assumptions } = placed;
  if (items.length === 0) return 'There is nothing to place yet.';
  const hasNow = items.some(({ now }) => now);
  const rows = items
    .slice(0, ROWS_MAX)
    .map(({ item: name, units, served, nodes, now }) => [
      style.bold(name),
      served < units ? style.bad(`${served} of ${units}`) : `${units}`,
      nodesText(nodes),
      ...(hasNow ? [shortList(now ?? [])] : []),
    ]);
  const more = items.length > ROWS_MAX ? [style.dim(`… and ${items.length - ROWS_MAX} more; --json has all`)] : [];
  const table = style.table(['item', 'units', 'best on', ...(hasNow ? ['now on'] : [])], rows);
  return [table, ...more, summary(placed, style), ...assumptions.map((text) => style.dim(`assumed: ${text}`))].join(
    '\n',
  );
}

function renderItem(
  report: ItemReport & { gap: number; proof: Solution['proof']; decision?: { reason: string } },
  style: Style,
): string {
  const { item: name, units, served, nodes, kinds, changes: would, gap, proof, decision } = report;
  const count = served < units ? style.bad(`${served} of ${units} units served`) : `${units} units served`;
  const rows = kinds
    .slice(0, ROWS_MAX)
    .map(({ example, nodes: members, serves, excluded, score, full }) => [
      members === 1 ? example : `${example} and ${members - 1} alike`,
      serves > 0 ? style.good(`${serves}`) : '',
      ...(score
        ? [score.compute, score.network, score.memory, score.scarcity, score.total].map((part) => part.toFixed(4))
        : ['', '', '', '', '']),
      excluded ? style.bad(excluded) : full ? style.dim(full) : '',
    ]);
  return [
    `${style.bold(name)}: ${count}${nodes.length > 0 ? `, best on ${nodesText(nodes)}` : ''}; the whole placement is at most ${percent(gap)} above the best (${proof})`,
    style.table(['nodes', 'units', 'compute', 'network', 'memory', 'scarcity', 'sum', 'against'], rows),
    ...(decision ? [`decided: ${decision.reason}`] : []),
    ...would.map((text) => `- ${text}`),
  ].join('\n');
}

function renderChange(before: Placed, after: Placed, style: Style): string {
  const text = ({ nodes }: Placed['items'][number]): string => nodesText(nodes);
  const old = new Map(before.items.map((each) => [each.item, each]));
  const rows = after.items.flatMap((each) => {
    const was = old.get(each.item);
    if (!was || (text(was) === text(each) && was.served === each.served && was.units === each.units)) return [];
    const servedText = (of: Placed['items'][number]): string => `${of.served} of ${of.units}`;
    return [[style.bold(each.item), servedText(was), servedText(each), text(was), text(each)]];
  });
  const table =
    rows.length === 0
      ? 'No item would move.'
      : style.table(['item', 'served now', 'then', 'best on now', 'then'], rows.slice(0, ROWS_MAX));
  const more = rows.length > ROWS_MAX ? [style.dim(`… and ${rows.length - ROWS_MAX} more; --json has all`)] : [];
  return [table, ...more, `now:  ${summary(before, style)}`, `then: ${summary(after, style)}`].join('\n');
}
