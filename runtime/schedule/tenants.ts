/** Who may submit, and how much at a time. */
import type { TenantSpec } from './events.ts';
import type { Share } from './job.ts';
import type { Pool } from './pool.ts';
import { PRIORITIES, type PriorityClass } from './priorities.ts';

export interface Tenant {
  readonly spec: TenantSpec;
  /** By pool and class. */
  readonly shares: readonly (readonly Share[])[];
  /** That have not ended, by class: a backlog of reports must not turn away what is urgent. */
  readonly runs: number[];
}

export class Tenants {
  readonly #tenants = new Map<string, Tenant>();

  constructor(specs: readonly TenantSpec[], pools: readonly Pool[]) {
    for (const spec of specs) {
      const { name, weight } = spec;
      if (this.#tenants.has(name)) throw new Error(`tenant "${name}": expected one tenant of this name, got two`);
      if (!(weight > 0 && weight < Number.POSITIVE_INFINITY))
        throw new Error(`tenant "${name}": expected a weight above 0, got ${weight}`);
      const shares = pools.map(({ ready }) => ready.queues.map((queue) => queue.openShare(weight)));
      this.#tenants.set(name, { spec, shares, runs: PRIORITIES.map(() => 0) });
    }
  }

  get(name: string): Tenant | undefined {
    return this.#tenants.get(name);
  }
}

/** Why the tenant may have no further run; undefined when it may. */
export function quotaProblem({ spec: { name, runsMax }, runs }: Tenant, priority: number): string | undefined {
  const unfinished = runs[priority] as number;
  if (unfinished < runsMax) return undefined;
  const of = (PRIORITIES[priority] as PriorityClass).name;
  return `tenant "${name}" has ${unfinished} unfinished runs of class ${of}, expected fewer than its quota of ${runsMax}; wait for some to end`;
}

export function shareOf({ shares }: Tenant, { place }: Pool, priority: number): Share {
  return (shares[place] as readonly Share[])[priority] as Share;
}
