/** What the policy is told of the engine, once. */
import type { SchedulerSpec, TenantSpec } from '../schedule/events.ts';
import { OFFLOAD } from './offloaded-runs.ts';
import { LOADING } from './resident-models.ts';
import { ANSWER_US, DEFAULT_TENANT, SWITCH_US } from './run-request.ts';

export interface PolicyOptions {
  /** Besides the default one, unless that is among them. */
  readonly tenants?: readonly TenantSpec[];
  /** Names of those that compute models besides the cores and onnxruntime. */
  readonly accelerators?: readonly string[];
  /** For all models together that come and go by the policy; no bound when absent. */
  readonly memoryBytes?: number;
}

export function policySpec(
  cores: number,
  { tenants = [], accelerators = [], memoryBytes = Number.POSITIVE_INFINITY }: PolicyOptions,
): SchedulerSpec {
  const others = tenants.some(({ name }) => name === DEFAULT_TENANT.name) ? [LOADING] : [DEFAULT_TENANT, LOADING];
  return {
    cores,
    coresReady: 1,
    memoryBytes,
    instructionUs: SWITCH_US,
    answerUs: ANSWER_US,
    accelerators: [OFFLOAD, ...accelerators],
    tenants: [...tenants, ...others],
    models: [],
  };
}
