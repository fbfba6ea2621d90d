/** Another problem than the one there is: more nodes, fewer, another demand. */

import { shortList } from './explain.ts';
import type { PlacementItem, PlacementNode, Problem } from './problem.ts';
import { NODES_MAX } from './problem.ts';

export interface Change {
  /** NAME or NAME=COUNT: so many more nodes like one that is there. */
  readonly addNode?: readonly string[];
  readonly loseNode?: readonly string[];
  /** FACTOR, or ITEM=FACTOR; a factor may be written ×2 or x2. */
  readonly demand?: readonly string[];
}

/** Throws an Error that names the word which cannot be understood. */
export function changeProblem(problem: Problem, { addNode = [], loseNode = [], demand = [] }: Change): Problem {
  const names = new Set(problem.nodes.map(({ name }) => name));
  const more = addNode.flatMap((word) => nodesLike(problem, word, names));
  for (const name of loseNode)
    if (!names.has(name)) throw new Error(`--lose-node ${name}: ${unknown('node', name, [...names])}`);
  const nodes = [...problem.nodes.filter(({ name }) => !loseNode.includes(name)), ...more];
  if (nodes.length > NODES_MAX) throw new Error(`--add-node: expected at most ${NODES_MAX} nodes, got ${nodes.length}`);
  const kept = new Set(nodes.map(({ name }) => name));
  const items = demand.reduce((all, word) => withDemand(all, word), problem.items);
  return { ...problem, nodes, items: items.map((item) => withNodes(item, kept)) };
}

function nodesLike({ nodes }: Problem, word: string, names: Set<string>): PlacementNode[] {
  const [name = '', text = '1'] = word.split('=');
  const like = nodes.find((node) => node.name === name);
  if (!like) throw new Error(`--add-node ${word}: ${unknown('node', name, [...names])}`);
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1 || count > NODES_MAX)
    throw new Error(`--add-node ${word}: expected NAME=COUNT with a count from 1 to ${NODES_MAX}, such as ${name}=2`);
  const added: PlacementNode[] = [];
  for (let number = 1; added.length < count; number++) {
    const fresh = `${name}-more-${number}`;
    if (names.has(fresh)) continue;
    names.add(fresh);
    added.push({ ...like, name: fresh });
  }
  return added;
}

function withDemand(items: readonly PlacementItem[], word: string): PlacementItem[] {
  const [first = '', second] = word.split('=');
  const factor = Number((second ?? first).replace(/^[×x]/, ''));
  if (!(factor > 0 && factor <= 1e6))
    throw new Error(`--demand ${word}: expected a factor, or ITEM=FACTOR, such as ×2`);
  if (second !== undefined && !items.some(({ name }) => name === first))
    throw new Error(
      `--demand ${word}: ${unknown(
        'item',
        first,
        items.map(({ name }) => name),
      )}`,
    );
  return items.map((item) => (second === undefined || item.name === first ? scaled(item, factor) : item));
}

/** Twice the demand is twice the streams; where each unit is a replica there are as many, each with twice as much to do. */
function scaled(item: PlacementItem, factor: number): PlacementItem {
  const ratePerS = item.ratePerS * factor;
  if (item.units === item.replicas) return { ...item, ratePerS };
  const units = Math.max(item.replicas, Math.round(item.units * factor));
  return { ...item, ratePerS, units };
}

/** An item that names its nodes does not wait for one that is gone. */
function withNodes(item: PlacementItem, kept: ReadonlySet<string>): PlacementItem {
  return item.nodes ? { ...item, nodes: item.nodes.filter((name) => kept.has(name)) } : item;
}

function unknown(kind: string, name: string, names: readonly string[]): string {
  return `there is no ${kind} "${name}"; ${names.length === 0 ? 'there are none' : `there are ${shortList(names)}`}`;
}
