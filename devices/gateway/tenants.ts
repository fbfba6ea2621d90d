/** Whose runs a node tells apart, as its command line says it. */
import { DEFAULT_TENANT } from '../../runtime/engine/run-request.ts';
import type { TenantSpec } from '../../runtime/schedule/events.ts';

const FORM = 'NAME=WEIGHT or NAME=WEIGHT:RUNS, with commas between several';
const TENANT = /^([A-Za-z0-9_-]{1,64})=(\d+(?:\.\d+)?)(?::(\d+))?$/;

/**
 * `line-1=3:64,reports=1`: weights are shares of the cores while several tenants wait in a class, RUNS how many runs of each class a tenant may
 * have unfinished. Throws an Error that says which part is wrong.
 */
export function readTenants(text: string | undefined): TenantSpec[] {
  if (!text) return [];
  const tenants: TenantSpec[] = [];
  for (const part of text.split(',')) {
    const [, name, weight, runs = DEFAULT_TENANT.runsMax] = TENANT.exec(part) ?? [];
    if (name === undefined) throw new Error(`--tenants: expected ${FORM}, got "${part}"`);
    const tenant = { name, weight: Number(weight), runsMax: Number(runs) };
    if (!(tenant.weight > 0)) throw new Error(`--tenants, "${name}": expected a weight above 0, got ${weight}`);
    if (!(tenant.runsMax > 0 && tenant.runsMax <= DEFAULT_TENANT.runsMax))
      throw new Error(`--tenants, "${name}": expected 1 to ${DEFAULT_TENANT.runsMax} runs, got ${runs}`);
    if (tenants.some((other) => other.name === name))
      throw new Error(`--tenants: expected "${name}" once, got it twice`);
    tenants.push(tenant);
  }
  return tenants;
}
