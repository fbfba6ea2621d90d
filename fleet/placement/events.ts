/** What happens to a fleet, and what of a placement follows from it: only what an event touches is placed again. */
import { PRIORITIES, priorityOf } from '../../runtime/schedule/priorities.ts';
import { exclusionOf } from './eligibility.ts';
import { improveItems } from './improvement.ts';
import { enterClass, linkItems, type NodeClass, residualOf, rowOf, tierIndex } from './instance.ts';
import type { PlacementItem, PlacementNode } from './problem.ts';
import type { Search } from './search.ts';

/** Takes a node away and moves what ran there. */
export function loseNode(search: Search, node: number): void {
  const { instance, assignment, members } = search;
  const c = instance.classOf[node] as number;
  const touched = new Set<number>();
  // A leader that goes has taken its followers along.
  for (const [item, units] of [...(assignment.itemsOn[node] as Map<number, number>)])
    if (assignment.itemsOn[node]?.has(item)) search.withdraw(item, node, units, touched);
  instance.alive[node] = false;
  (instance.classes[c] as NodeClass).members--;
  const list = members[c] as number[];
  list.splice(list.indexOf(node), 1);
  settle(search, touched);
}

/** A node that was lost is there again, or a new one joined: it serves what has been left out. */
export function addNode(search: Search, node: PlacementNode): void {
  const { instance, assignment, members } = search;
  const known = instance.facts.nodeIndex.get(node.name);
  if (known !== undefined && instance.alive[known]) return;
  const index = instance.nodes.length;
  const c = enterClass(instance, node);
  instance.nodes.push(node);
  instance.classOf.push(c);
  instance.alive.push(true);
  instance.facts.nodeIndex.set(node.name, index);
  assignment.grow();
  while (members.length < instance.classes.length) members.push([]);
  members[c]?.push(index);
  search.growPrices();
  settle(
    search,
    instance.items.keys().filter((item) => search.missing(item) > 0),
  );
}

/**
 * Adds an item, or gives one another demand; with zero units it is removed. What runs stays where it is as far as it fits.
 * Returns false, and does nothing, when the item is more urgent, longer or otherwise different from all before, so that
 * what nodes can take changes everywhere: then the problem has to be compiled again.
 */
export function putItem(search: Search, item: PlacementItem): boolean {
  const { instance, assignment } = search;
  const { facts, items, rows, followers } = instance;
  if (!isLikeOthers(search, item)) return false;
  let index = facts.itemIndex.get(item.name);
  if (index === undefined) {
    index = items.length;
    facts.itemIndex.set(item.name, index);
    for (const list of [instance.apart, instance.leaders, followers]) list.push(new Set());
    items.push(item);
    rows.push(rowOf(instance, item));
    linkItems(instance, index);
    assignment.grow();
    settle(search, [index]);
    return true;
  }
  const before = [...(assignment.nodesOf[index] as Map<number, number>)];
  const touched = new Set([index]);
  for (const [node, units] of before)
    if (assignment.nodesOf[index]?.has(node)) search.withdraw(index, node, units, touched);
  items[index] = item;
  rows[index] = rowOf(instance, item);
  for (const [node, units] of before) {
    const stays = Math.min(units, search.missing(index), assignment.fit(index, node));
    if (stays > 0) assignment.add(index, node, stays);
  }
  settle(search, touched);
  return true;
}

function isLikeOthers({ instance }: Search, item: PlacementItem): boolean {
  const { facts, classes, items } = instance;
  const known = items[facts.itemIndex.get(item.name) ?? -1];
  const same = (a: readonly string[] | undefined, b: readonly string[] | undefined): boolean => `${a}` === `${b}`;
  if (known && !(same(known.apart, item.apart) && same(known.with, item.with))) return false;
  if (tierIndex(instance, item) < 0 || Object.keys(item.labels).some((key) => !facts.labelKeys.has(key))) return false;
  if (item.nodes?.some((name) => !facts.named.has(name))) return false;
  const place = item.accelerator === 'gpu' ? PRIORITIES.length : (priorityOf(item.priority) as number);
  return classes.every(
    ({ node, residualMs }) =>
      exclusionOf(item, node, facts) !== undefined || residualOf(item, node) <= (residualMs[place] as number),
  );
}

function settle(search: Search, touched: Iterable<number>): void {
  const items = search.inOrder(touched);
  for (const item of items) search.place(item);
  improveItems(search, items);
}
