/** Who may submit, and how much at a time. */
import type { RunRequest, TenantSpec } from './events.ts';
import type { FairQueue } from './fair-queue.ts';
import type { Share } from './job.ts';
import { PRIORITIES, priorityOf } from './priorities.ts';

interface Tenant {
  readonly spec: TenantSpec;
  /** One for every class. */
  readonly shares: readonly Share[];
  runs: number;
}

export class Tenants {
  readonly #tenants = new Map<string, Tenant>();

  constructor(specs: readonly TenantSpec[], queues: readonly FairQueue[]) {
    for (const spec of specs) {
      const { name, weight } = spec;
      if (this.#tenants.has(name)) throw new Error(`tenant "${name}": expected one tenant of this name, got two`);
      if (!(weight > 0 && weight < Number.POSITIVE_INFINITY))
        throw new Error(`tenant "${name}": expected a weight above 0, got ${weight}`);
      this.#tenants.set(name, { spec, shares: queues.map((queue) => queue.openShare(weight)), runs: 0 });
    }
  }

  /** The class of a run and its tenant's share in it, or why it is refused. */
  check(request: RunRequest): { priority: number; share: Share } | string {
    const priority = priorityOf(request.priority);
    if (priority === undefined)
      return `priority: expected one of ${PRIORITIES.map(({ name }) => name).join(', ')}, got "${request.priority}"`;
    const tenant = this.#tenants.get(request.tenant);
    if (!tenant) return `tenant "${request.tenant}" has no quota here; give it one first`;
    const { runsMax } = tenant.spec;
    if (tenant.runs >= runsMax)
      return `tenant "${request.tenant}" has ${tenant.runs} unfinished runs, expected fewer than its quota of ${runsMax}; wait for some to end`;
    return { priority, share: tenant.shares[priority] as Share };
  }

  /** Takes note of a run that was admitted or has ended. */
  count(name: string, change: 1 | -1): void {
    (this.#tenants.get(name) as Tenant).runs += change;
  }
}
