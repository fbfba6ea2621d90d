/** Which node serves how many units of which item: only ever feasible, with its cost. */
import type { Instance, ItemRow, NodeClass } from './instance.ts';

/** Sums of loads drift by rounding. */
const SLACK = 1e-9;

export class Assignment {
  readonly instance: Instance;
  /** By item: units on each node that serves it. */
  readonly nodesOf: Map<number, number>[];
  /** By node: units of each item that it serves. */
  readonly itemsOn: Map<number, number>[];
  readonly served: number[];
  /** By node and tier: load, and number of items. */
  #load: Float64Array;
  #present: Uint16Array;
  /** By node and pool: load of all tiers. */
  #total: Float64Array;
  readonly memory: number[];
  readonly mbps: number[];
  /** Of all units that are served. */
  servingCost = 0;
  /** What was done since `begin`: item, node and units, negative when removed. */
  #journal: number[] | undefined;
  readonly #tiers: number;

  constructor(instance: Instance) {
    this.instance = instance;
    this.#tiers = instance.tiers.length;
    this.nodesOf = instance.items.map(() => new Map());
    this.itemsOn = instance.nodes.map(() => new Map());
    this.served = instance.items.map(() => 0);
    this.memory = instance.nodes.map(() => 0);
    this.mbps = instance.nodes.map(() => 0);
    this.#load = new Float64Array(instance.nodes.length * this.#tiers);
    this.#present = new Uint16Array(instance.nodes.length * this.#tiers);
    this.#total = new Float64Array(instance.nodes.length * 2);
  }

  /** Serving, and what is left unserved. */
  get cost(): number {
    let missing = 0;
    const { items, rows } = this.instance;
    for (let item = 0; item < items.length; item++)
      missing += ((items[item]?.units as number) - (this.served[item] as number)) * (rows[item]?.worth as number);
    return this.servingCost + missing;
  }

  classOf(node: number): NodeClass {
    return this.instance.classes[this.instance.classOf[node] as number] as NodeClass;
  }

  /** Busy servers of a node up to a tier of its pool. */
  loadThrough(node: number, tier: number): number {
    const first = node * this.#tiers + (this.instance.poolStart[tier] as number);
    const last = node * this.#tiers + tier;
    let sum = 0;
    for (let at = first; at <= last; at++) sum += this.#load[at] as number;
    return sum;
  }

  /** Load that the node can still take at the tier without any tier that it serves losing its target. */
  room(node: number, tier: number): number {
    const { poolEnd } = this.instance;
    const { caps } = this.classOf(node);
    const at = node * this.#tiers;
    let through = this.loadThrough(node, tier);
    let room = (caps[tier] as number) - through;
    for (let t = tier + 1; t < (poolEnd[tier] as number); t++) {
      through += this.#load[at + t] as number;
      if ((this.#present[at + t] as number) > 0) room = Math.min(room, (caps[t] as number) - through);
    }
    return room;
  }

  /** How many more units of the item the node can take. */
  fit(item: number, node: number): number {
    const { rows, items, classes, classOf, poolOf, alive, apart, leaders } = this.instance;
    if (!alive[node]) return 0;
    const row = rows[item] as ItemRow;
    const c = classOf[node] as number;
    const load = row.load[c] as number;
    // Most nodes that are asked are full: one comparison tells.
    const { capsFrom, node: kind } = classes[c] as NodeClass;
    if (
      (this.#total[2 * node + (poolOf[row.tier] as number)] as number) + load >
      (capsFrom[row.tier] as number) + SLACK
    )
      return 0;
    const byLoad = Math.floor((this.room(node, row.tier) + SLACK) / load);
    if (byLoad <= 0) return 0;
    const here = this.itemsOn[node] as Map<number, number>;
    const present = here.get(item) ?? 0;
    let units = Math.min(byLoad, (row.unitsMax[c] as number) - present);
    if (units <= 0) return 0;
    if (present === 0) {
      const { memoryBytes } = items[item] as { memoryBytes: number };
      if (memoryBytes > kind.memoryBytes - (this.memory[node] as number)) return 0;
      const [ahead, foes] = [leaders[item] as Set<number>, apart[item] as Set<number>];
      if (ahead.size > 0) for (const leader of ahead) if (!here.has(leader)) return 0;
      if (foes.size > 0) for (const foe of foes) if (here.has(foe)) return 0;
    }
    const mbps = row.mbps[c] as number;
    if (mbps > 0 && kind.networkMbps !== undefined)
      units = Math.min(units, Math.floor((kind.networkMbps - (this.mbps[node] as number) + SLACK) / mbps));
    return Math.max(0, units);
  }

  /** What the next units of the item cost on the node. */
  costOf(item: number, node: number, units: number): number {
    const row = this.instance.rows[item] as ItemRow;
    const c = this.instance.classOf[node] as number;
    const open = this.itemsOn[node]?.has(item) ? 0 : (row.open[c] as number);
    return units * (row.cost[c] as number) + open;
  }

  /** The caller has asked `fit`. */
  add(item: number, node: number, units: number): void {
    const row = this.instance.rows[item] as ItemRow;
    const here = this.itemsOn[node] as Map<number, number>;
    const before = here.get(item) ?? 0;
    this.servingCost += this.costOf(item, node, units);
    if (before === 0) this.#open(item, node, row, 1);
    here.set(item, before + units);
    (this.nodesOf[item] as Map<number, number>).set(node, before + units);
    this.#count(item, node, row, units);
    this.#journal?.push(item, node, units);
  }

  /** Of units that are there. A node that serves none of the item any more forgets it. */
  remove(item: number, node: number, units: number): void {
    const row = this.instance.rows[item] as ItemRow;
    const here = this.itemsOn[node] as Map<number, number>;
    const left = (here.get(item) ?? 0) - units;
    if (left < 0) throw new Error(`assertion: node ${node} serves fewer than ${units} units of item ${item}`);
    if (left > 0) {
      here.set(item, left);
      (this.nodesOf[item] as Map<number, number>).set(node, left);
    } else {
      here.delete(item);
      (this.nodesOf[item] as Map<number, number>).delete(node);
      this.#open(item, node, row, -1);
    }
    this.#count(item, node, row, -units);
    this.servingCost -= this.costOf(item, node, units);
    this.#journal?.push(item, node, -units);
  }

  /** From here on everything can be undone. */
  begin(): void {
    this.#journal = [];
  }

  keep(): void {
    this.#journal = undefined;
  }

  undo(): void {
    const done = this.#journal ?? [];
    this.#journal = undefined;
    for (let at = done.length - 3; at >= 0; at -= 3) {
      const [item, node, units] = done.slice(at, at + 3) as [number, number, number];
      if (units > 0) this.remove(item, node, units);
      else this.add(item, node, -units);
    }
  }

  #open(item: number, node: number, row: ItemRow, sign: 1 | -1): void {
    this.memory[node] = (this.memory[node] as number) + sign * (this.instance.items[item]?.memoryBytes as number);
    const at = node * this.#tiers + row.tier;
    this.#present[at] = (this.#present[at] as number) + sign;
    // What is empty is exactly empty, whatever the sums have gathered.
    if (this.#present[at] === 0) this.#load[at] = 0;
    if (sign > 0 || this.itemsOn[node]?.size !== 0) return;
    this.memory[node] = 0;
    this.#total.fill(0, 2 * node, 2 * node + 2);
  }

  #count(item: number, node: number, row: ItemRow, units: number): void {
    const c = this.instance.classOf[node] as number;
    const at = node * this.#tiers + row.tier;
    this.served[item] = (this.served[item] as number) + units;
    if ((this.#present[at] as number) > 0)
      this.#load[at] = (this.#load[at] as number) + units * (row.load[c] as number);
    this.mbps[node] = (this.mbps[node] as number) + units * (row.mbps[c] as number);
  }

  /** Room for an item or node that joined the instance. */
  grow(): void {
    const { items, nodes } = this.instance;
    while (this.nodesOf.length < items.length) {
      this.nodesOf.push(new Map());
      this.served.push(0);
    }
    while (this.itemsOn.length < nodes.length) {
      this.itemsOn.push(new Map());
      this.memory.push(0);
      this.mbps.push(0);
    }
    if (this.#load.length >= nodes.length * this.#tiers) return;
    // A quarter more than is needed: nodes join one by one.
    const load = new Float64Array(Math.ceil(nodes.length * 1.25) * this.#tiers);
    load.set(this.#load);
    const present = new Uint16Array(load.length);
    present.set(this.#present);
    const total = new Float64Array(Math.ceil(nodes.length * 1.25) * 2);
    total.set(this.#total);
    [this.#load, this.#present, this.#total] = [load, present, total];
  }
}
