/**
 * A small placement as the mixed-integer program that it is, node by node, by HiGHS: the optimum, or a bound that branch
 * and cut has brought near it. It states the rules of assignment.ts as rows, independently of prices and classes.
 */
import type { Instance, ItemRow, NodeClass } from './instance.ts';
import { loadSolver } from './linear-program.ts';

/** Pairs of item and node beyond which the program takes too long to be of use. */
export const EXACT_PAIRS_MAX = 600;

export interface Optimum {
  /** No placement costs less. */
  readonly bound: number;
  /** Of the best placement found; the bound itself when it was proved. */
  readonly cost: number;
  readonly proved: boolean;
  /** That placement: units by item and node, leaders before those that follow them. */
  readonly placed: readonly { readonly item: number; readonly node: number; readonly units: number }[];
}

/** @param secondsMax after which the best bound so far is taken */
export async function solveInteger(instance: Instance, secondsMax: number): Promise<Optimum> {
  const solver = await loadSolver();
  const program = new Program(instance, solver.infinity);
  return solver.withModel(program.model(), (model) => {
    model.options.set({ output_flag: false, time_limit: secondsMax, mip_rel_gap: 1e-9, mip_abs_gap: 1e-9 });
    model.run();
    const proved = model.getModelStatus() === solver.constants.modelStatus.optimal;
    const cost = model.getObjectiveValue();
    const bound = proved ? cost : (model.info.get('mip_dual_bound') as number);
    return { bound, cost, proved, placed: program.placedIn(model.getSolution().colValue) };
  });
}

/** Columns and rows as they gather. */
class Program {
  readonly #cost: number[] = [];
  readonly #upper: number[] = [];
  readonly #columns: [row: number, value: number][][] = [];
  readonly #lowerOf: number[] = [];
  readonly #upperOf: number[] = [];
  readonly #infinity: number;
  readonly #unitColumns: { item: number; node: number; column: number }[] = [];

  constructor(instance: Instance, infinity: number) {
    this.#infinity = infinity;
    const { items, rows } = instance;
    const demand = items.map(({ units }) => this.#row(units, units));
    for (const [item, { worth }] of rows.entries())
      this.#put(this.#column(worth, items[item]?.units as number), demand[item] as number, 1);
    for (const [node, alive] of instance.alive.entries()) if (alive) this.#node(instance, node, demand);
  }

  model() {
    const entries = this.#columns.flat();
    const starts = [0];
    for (const column of this.#columns) starts.push((starts.at(-1) as number) + column.length);
    const [numCols, numRows] = [this.#cost.length, this.#upperOf.length];
    return {
      ...{ numCols, numRows, colCost: this.#cost, colLower: this.#cost.map(() => 0), colUpper: this.#upper },
      ...{
        rowLower: this.#lowerOf,
        rowUpper: this.#upperOf,
        integrality: Int32Array.from({ length: numCols }, () => 1),
      },
      matrix: {
        ...{ format: 'csc' as const, numRows, numCols, starts },
        ...{ indices: entries.map(([row]) => row), values: entries.map(([, value]) => value) },
      },
    };
  }

  placedIn(values: Float64Array): Optimum['placed'] {
    return this.#unitColumns.flatMap(({ item, node, column }) => {
      const units = Math.round(values[column] ?? 0);
      return units > 0 ? [{ item, node, units }] : [];
    });
  }

  #row(lower: number, upper: number): number {
    this.#lowerOf.push(lower);
    return this.#upperOf.push(upper) - 1;
  }

  #column(cost: number, upper: number): number {
    this.#cost.push(cost);
    this.#upper.push(upper);
    return this.#columns.push([]) - 1;
  }

  #put(column: number, row: number, value: number): void {
    if (value !== 0) this.#columns[column]?.push([row, value]);
  }

  #node(
    { items, rows, classes, classOf, tiers, apart, leaders }: Instance,
    node: number,
    demand: readonly number[],
  ): void {
    const c = classOf[node] as number;
    const { node: kind, caps } = classes[c] as NodeClass;
    const candidates = items
      .keys()
      .filter((item) => (rows[item]?.unitsMax[c] as number) > 0)
      .toArray();
    const memory = this.#row(-this.#infinity, kind.memoryBytes / 1e9);
    const mbps = this.#row(-this.#infinity, kind.networkMbps ?? this.#infinity);
    const units = new Map<number, number>();
    const there = new Map<number, number>();
    for (const item of candidates) {
      const row = rows[item] as ItemRow;
      const x = this.#column(row.cost[c] as number, row.unitsMax[c] as number);
      const y = this.#column(row.open[c] as number, 1);
      this.#unitColumns.push({ item, node, column: x });
      units.set(item, x);
      there.set(item, y);
      this.#put(x, demand[item] as number, 1);
      this.#put(x, mbps, row.mbps[c] as number);
      this.#put(y, memory, (items[item]?.memoryBytes as number) / 1e9);
      // There are units exactly where the item is.
      const some = this.#row(-this.#infinity, 0);
      this.#put(x, some, 1);
      this.#put(y, some, -(row.unitsMax[c] as number));
      const none = this.#row(0, this.#infinity);
      this.#put(x, none, 1);
      this.#put(y, none, -1);
    }
    for (const item of candidates) {
      for (const other of apart[item] as Set<number>)
        if (item < other && there.has(other)) {
          const row = this.#row(-this.#infinity, 1);
          this.#put(there.get(item) as number, row, 1);
          this.#put(there.get(other) as number, row, 1);
        }
      for (const leader of leaders[item] as Set<number>) {
        const row = this.#row(-this.#infinity, 0);
        this.#put(there.get(item) as number, row, 1);
        if (there.has(leader)) this.#put(there.get(leader) as number, row, -1);
      }
    }
    for (let t = 0; t < tiers.length; t++) {
      const own = candidates.filter((item) => rows[item]?.tier === t);
      if (own.length === 0) continue;
      const before = candidates.filter((item) => {
        const tier = rows[item]?.tier as number;
        return tier <= t && tiers[tier]?.pool === tiers[t]?.pool;
      });
      // The cap holds when the tier is served; if not, nothing is said: `free` is more load than could ever be there.
      const free = before.reduce(
        (sum, item) => sum + (rows[item]?.load[c] as number) * (rows[item]?.unitsMax[c] as number),
        0,
      );
      const served = this.#column(0, 1);
      const cap = this.#row(-this.#infinity, Math.max(free, caps[t] as number));
      this.#put(served, cap, Math.max(free, caps[t] as number) - (caps[t] as number));
      for (const item of before) this.#put(units.get(item) as number, cap, rows[item]?.load[c] as number);
      for (const item of own) {
        const row = this.#row(-this.#infinity, 0);
        this.#put(there.get(item) as number, row, 1);
        this.#put(served, row, -1);
      }
    }
  }
}
