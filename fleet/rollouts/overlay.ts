/** What rollouts change in the desired states of the nodes that they have reached. */

import type { Software } from '../../runtime/protocol/software.ts';
import type { AssignedModel, Overlay } from '../controller/desired.ts';
import { compares, gets, type Step } from './rollout.ts';

/** @param modelVersion a version of a model; undefined when it is not registered (any more) */
export function overlays(
  steps: readonly Step[],
  modelVersion: (model: string, version: number) => AssignedModel | undefined,
  softwareVersions: ReadonlyMap<string, Software> = new Map(),
): Map<string, Overlay> {
  const result = new Map<string, Overlay>();
  for (const { rollout, nodes } of steps) {
    const { target } = rollout.spec;
    const model = target.kind === 'model' ? modelVersion(target.model, target.version) : undefined;
    const models = model ? [model] : [];
    const triggers = target.kind === 'trigger' ? [target.trigger] : [];
    const software = target.kind === 'software' ? softwareVersions.get(target.version) : undefined;
    for (const node of nodes) {
      const before = result.get(node.node) ?? { models: [], triggers: [], trials: [] };
      if (gets(rollout, node))
        result.set(node.node, {
          ...{ ...before, models: [...before.models, ...models], triggers: [...before.triggers, ...triggers] },
          ...(software && { software }),
        });
      else if (compares(rollout, node))
        result.set(node.node, { ...before, trials: [...before.trials, { id: rollout.id, models, triggers }] });
    }
  }
  return result;
}
