/** The simulated database of a controller. */
import type { Trigger } from '../../runtime/triggers/schema.ts';
import type { AssignedModel } from '../controller/desired.ts';
import type { NodeSelector } from '../controller/service.ts';
import type { StoredNode } from '../controller/store.ts';
import type { Step } from '../rollouts/rollout.ts';
import type { Task } from '../tasks/task.ts';
import type { Unit } from '../tasks/unit.ts';

export interface Rows {
  readonly nodes: Map<string, StoredNode>;
  /** The version of each that is released. */
  readonly models: Map<string, AssignedModel>;
  /** All of them, by `name@version`. */
  readonly versions: Map<string, AssignedModel>;
  readonly triggers: Map<string, { trigger: Trigger; selector: NodeSelector }>;
  readonly rollouts: Map<string, Step>;
  readonly tasks: Map<string, Task>;
  readonly units: Map<string, Unit>;
  readonly results: Map<string, readonly unknown[]>;
  fence: number;
}

export function emptyRows(): Rows {
  return {
    ...{ nodes: new Map(), models: new Map(), versions: new Map(), triggers: new Map(), rollouts: new Map() },
    ...{ tasks: new Map(), units: new Map(), results: new Map(), fence: 0 },
  };
}
