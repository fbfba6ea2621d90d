/** The simulated database of a controller. */
import { BUILT_IN, type Software } from '../../runtime/protocol/software.ts';
import type { Trigger } from '../../runtime/triggers/schema.ts';
import type { AssignedModel } from '../controller/desired.ts';
import type { NodeSelector } from '../controller/service.ts';
import type { SoftwareAssignment } from '../controller/software-store.ts';
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
  /** Versions of the nodes' program, which of them all nodes get, and those that a task gave to single ones. */
  readonly software: Map<string, Software>;
  released: string | undefined;
  readonly given: Map<string, string>;
  readonly tasks: Map<string, Task>;
  readonly units: Map<string, Unit>;
  readonly results: Map<string, readonly unknown[]>;
  fence: number;
}

export function emptyRows(): Rows {
  return {
    ...{ nodes: new Map(), models: new Map(), versions: new Map(), triggers: new Map(), rollouts: new Map() },
    ...{ tasks: new Map(), units: new Map(), results: new Map(), fence: 0 },
    ...{ software: new Map(), released: undefined, given: new Map() },
  };
}

/** As software-store.ts reads it. */
export function softwareOf({ software, released, given }: Rows): SoftwareAssignment {
  const byNode = new Map([...given].map(([node, version]) => [node, software.get(version) as Software]));
  const usual = released === undefined ? undefined : software.get(released);
  return { released: usual ?? (software.size > 0 ? BUILT_IN : undefined), byNode, versions: software };
}
