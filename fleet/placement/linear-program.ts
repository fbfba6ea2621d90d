/**
 * The linear program of a placement, by HiGHS in WebAssembly: the best bound that prices can give. Nodes of a class are
 * one: any placement, averaged over the nodes of each class, is a solution here, so the bound holds; and since nodes of a
 * class are alike nothing is lost by it. The package is loaded when a bound is first asked for.
 */
import type { Highs, Model } from 'highs';
import { hasRow } from './capacity-rows.ts';
import type { Instance, ItemRow, NodeClass } from './instance.ts';
import { boundAt, loadPrices, noPrices, type Prices, priceItem } from './prices.ts';

/** Columns are made for an item's classes that cost at most this much more than its cheapest; others only when they pay. */
const NEAR = 1.02;
const NEAR_MIN = 4;
/** Rounds of adding columns that pay. The bound holds after each; these bring it to the program's own. */
const ROUNDS_MAX = 12;
/** Where the items that must be apart or together would take more rows than this, the bound does without them. */
const PAIR_ROWS_MAX = 20_000;
const GB = 1e9;

let highs: Promise<Highs> | undefined;

export class SolverMissingError extends Error {}

/** Loads the solver once: 3.7 MB, read when it is first needed. Rejects with a SolverMissingError when it is not installed. */
export async function loadSolver(): Promise<Highs> {
  // The package's types are those of its CommonJS form, where the loader is one `default` further down.
  highs ??= import('highs').then((loaded) => (loaded.default as unknown as typeof loaded.default.default)());
  return highs.catch((cause: Error) => {
    highs = undefined;
    throw new Error(`the linear program needs the package "highs": ${cause.message}; install it with npm ci`, {
      cause,
    });
  });
}

/** What the program's solution says. */
export interface LinearBound {
  readonly bound: number;
  readonly prices: Prices;
}

/**
 * The bound of the linear program, at prices that prove it.
 * @param near prices to begin with: the closer they are, the fewer rounds it takes
 */
export async function solveLinear(instance: Instance, near: Prices): Promise<LinearBound> {
  const solver = await loadSolver();
  const master = new Master(solver, instance);
  try {
    master.addNear(near);
    let best: LinearBound = { bound: boundAt(instance, near), prices: near };
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const prices = master.solve();
      const bound = boundAt(instance, prices);
      if (bound > best.bound) best = { bound, prices };
      if (master.addPaying(prices) === 0) break;
    }
    return best;
  } finally {
    master.dispose();
  }
}

/** The program with the columns that it has so far. */
class Master {
  readonly #instance: Instance;
  readonly #model: Model;
  readonly #rows: Rows;
  readonly #has: Set<number>[];

  constructor({ createModel, infinity }: Highs, instance: Instance) {
    this.#instance = instance;
    this.#rows = new Rows(instance);
    this.#has = instance.items.map(() => new Set());
    const { items, rows } = instance;
    const numRows = this.#rows.supply.length;
    const demand = items.map(({ units }) => units);
    // One column an item to begin with: its units that stay unserved.
    this.#model = createModel({
      numCols: items.length,
      numRows,
      colCost: rows.map(({ worth }) => worth),
      colLower: items.map(() => 0),
      colUpper: demand,
      rowLower: this.#rows.supply.map((_, row) => (row < items.length ? (demand[row] as number) : -infinity)),
      rowUpper: this.#rows.supply,
      matrix: {
        format: 'csc',
        numRows,
        numCols: items.length,
        starts: [...items.keys(), items.length],
        indices: [...items.keys()],
        values: items.map(() => 1),
      },
    });
    this.#model.options.set({ output_flag: false });
  }

  dispose(): void {
    this.#model.dispose();
  }

  addNear(prices: Prices): void {
    const priced = new Float64Array(this.#instance.classes.length);
    const through = loadPrices(this.#instance, prices);
    const columns: [item: number, c: number][] = [];
    for (let item = 0; item < this.#instance.items.length; item++) {
      priceItem(this.#instance, prices, through, item, priced);
      const order = [...priced.keys()]
        .filter((c) => Number.isFinite(priced[c]))
        .sort((a, b) => (priced[a] as number) - (priced[b] as number));
      const limit = (priced[order[0] ?? 0] as number) * NEAR;
      for (const [place, c] of order.entries())
        if (place < NEAR_MIN || (priced[c] as number) <= limit) columns.push([item, c]);
    }
    this.#add(columns);
  }

  /** Adds the columns that would make the solution cheaper; returns how many. */
  addPaying(prices: Prices): number {
    const { instance, duals } = { instance: this.#instance, duals: this.#model.getSolution().rowDual };
    const priced = new Float64Array(instance.classes.length);
    const through = loadPrices(instance, prices);
    const columns: [item: number, c: number][] = [];
    for (let item = 0; item < instance.items.length; item++) {
      priceItem(instance, prices, through, item, priced);
      const limit = (duals[item] as number) * (1 - 1e-7);
      for (let c = 0; c < priced.length; c++)
        if ((priced[c] as number) < limit && !this.#has[item]?.has(c)) columns.push([item, c]);
    }
    this.#add(columns);
    return columns.length;
  }

  #add(columns: readonly (readonly [item: number, c: number])[]): void {
    if (columns.length === 0) return;
    const { rows, classes } = this.#instance;
    const [starts, indices, values]: [number[], number[], number[]] = [[0], [], []];
    const cost = new Float64Array(columns.length);
    const upper = new Float64Array(columns.length);
    for (const [column, [item, c]] of columns.entries()) {
      const row = rows[item] as ItemRow;
      const most = row.unitsMax[c] as number;
      this.#has[item]?.add(c);
      cost[column] = (row.cost[c] as number) + (row.open[c] as number) / most;
      upper[column] = most * (classes[c] as NodeClass).members;
      this.#rows.enter(item, c, indices, values);
      starts.push(indices.length);
    }
    this.#model.addCols({
      ...{ cost, upper, lower: new Float64Array(columns.length) },
      matrix: {
        ...{ format: 'csc', numRows: this.#rows.supply.length, numCols: columns.length },
        ...{ starts: Int32Array.from(starts), indices: Int32Array.from(indices), values: Float64Array.from(values) },
      },
    });
  }

  solve(): Prices {
    this.#model.run();
    return this.#rows.pricesOf(this.#model.getSolution().rowDual);
  }
}

/** The rows: every item's demand first, then what each class has, then what ties items together on a class. */
class Rows {
  readonly #instance: Instance;
  /** Upper limit of each row. */
  readonly supply: number[];
  /** By class and tier: the row, -1 for those that have none. */
  readonly #load: Int32Array;
  readonly #memory: number[] = [];
  readonly #mbps: number[] = [];
  /** By item: its rows with others on a class. */
  readonly #pairs = new Map<number, Pairing[]>();

  constructor(instance: Instance) {
    this.#instance = instance;
    this.supply = instance.items.map(({ units }) => units);
    const { classes, tiers } = instance;
    this.#load = new Int32Array(classes.length * tiers.length).fill(-1);
    for (const [c, { members, caps, node }] of classes.entries()) {
      for (let t = 0; t < tiers.length; t++)
        if (hasRow(instance, caps, t)) this.#load[c * tiers.length + t] = this.#row(members);
      this.#memory.push(this.#row((members * node.memoryBytes) / GB));
      this.#mbps.push(node.networkMbps === undefined ? -1 : this.#row(members * node.networkMbps));
    }
    this.#pairUp();
  }

  #row(supply: number): number {
    return this.supply.push(supply) - 1;
  }

  #pairUp(): void {
    const { items, rows, classes, apart, leaders } = this.#instance;
    const pairs: { a: number; b: number; c: number; together: boolean }[] = [];
    const may = (item: number, c: number): boolean => (rows[item]?.unitsMax[c] as number) > 0;
    for (let a = 0; a < items.length; a++)
      for (let c = 0; c < classes.length; c++) {
        if (!may(a, c)) continue;
        for (const b of apart[a] as Set<number>) if (a < b && may(b, c)) pairs.push({ a, b, c, together: false });
        for (const b of leaders[a] as Set<number>) pairs.push({ a, b, c, together: true });
      }
    if (pairs.length > PAIR_ROWS_MAX) return;
    for (const { a, b, c, together } of pairs) {
      const { members } = classes[c] as NodeClass;
      // Nodes with `a` and nodes with `b` are different ones; or, nodes with `a` are no more than units of `b`.
      const row = this.#row(together ? 0 : members);
      const nodes = (item: number): number => 1 / (rows[item]?.unitsMax[c] as number);
      this.#pair(a, { row, c, weight: nodes(a) });
      if (may(b, c)) this.#pair(b, { row, c, weight: together ? -1 : nodes(b) });
    }
  }

  #pair(item: number, pairing: Pairing): void {
    const list = this.#pairs.get(item);
    if (list) list.push(pairing);
    else this.#pairs.set(item, [pairing]);
  }

  /** Appends what a unit of an item takes of each row on a class. */
  enter(item: number, c: number, indices: number[], values: number[]): void {
    const { rows, items, classes, tiers, poolEnd } = this.#instance;
    const row = rows[item] as ItemRow;
    const put = (at: number, value: number): void => {
      if (at < 0 || value === 0) return;
      indices.push(at);
      values.push(value);
    };
    put(item, 1);
    let largest = 0;
    for (let t = row.tier; t < (poolEnd[row.tier] as number); t++) {
      largest = Math.max(largest, classes[c]?.caps[t] as number);
      put(this.#load[c * tiers.length + t] as number, (row.load[c] as number) / largest);
    }
    put(this.#memory[c] as number, (items[item]?.memoryBytes as number) / GB / (row.unitsMax[c] as number));
    put(this.#mbps[c] as number, row.mbps[c] as number);
    for (const pairing of this.#pairs.get(item) ?? []) if (pairing.c === c) put(pairing.row, pairing.weight);
  }

  /** The rows' duals as prices: of a row that must not exceed its limit, how much less the whole would cost for one more. */
  pricesOf(duals: Float64Array): Prices {
    const prices = noPrices(this.#instance);
    const priceOf = (row: number): number => (row < 0 ? 0 : Math.max(0, -(duals[row] as number)));
    for (let at = 0; at < this.#load.length; at++) prices.load[at] = priceOf(this.#load[at] as number);
    for (let c = 0; c < this.#memory.length; c++) {
      prices.memory[c] = priceOf(this.#memory[c] as number) / GB;
      prices.mbps[c] = priceOf(this.#mbps[c] as number);
    }
    const surcharge = new Map<number, Float64Array>();
    const paired = new Set<number>();
    for (const [item, pairings] of this.#pairs) {
      const added = new Float64Array(this.#instance.classes.length);
      for (const { row, c, weight } of pairings) {
        added[c] = (added[c] as number) + priceOf(row) * weight;
        paired.add(row);
      }
      surcharge.set(item, added);
    }
    let fixed = 0;
    for (const row of paired) fixed += priceOf(row) * (this.supply[row] as number);
    return { ...prices, surcharge, fixed };
  }
}

interface Pairing {
  readonly row: number;
  readonly c: number;
  readonly weight: number;
}
