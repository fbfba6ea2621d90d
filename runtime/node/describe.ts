/** A node's models and triggers as they are reported. */
import type { ReportedState } from '../protocol/messages.ts';
import { modelsOf } from '../triggers/schema.ts';
import type { NodeState } from './node-state.ts';
import type { Items } from './software.ts';
import { blobsOf, choices, modelId, modelsToLoad, problemOf, wantedModels, wantedTriggers } from './wanted.ts';

type Described = Pick<ReportedState, 'models' | 'triggers'>;

/** Models and triggers as they are reported. */
export function describe(state: NodeState): Described {
  const models = describeModels(state);
  return { models, triggers: describeTriggers(state, models) };
}

function describeModels(state: NodeState): Described['models'] {
  const unused = problems(state);
  return [...wantedModels(state).values()].map((model) => {
    const { name, version, sha256 } = model;
    const slot = state.models[modelId(model)];
    if (slot) {
      const { model: _, ...outcome } = slot;
      return { name, version, sha256, ...outcome };
    }
    const problem = unused.get(modelId(model));
    if (problem !== undefined) return { name, version, sha256, state: 'failed' as const, error: problem };
    const blobs = blobsOf([model]).map((blob) => state.blobs[blob.sha256]);
    const failed = blobs.find((blob) => blob?.error !== undefined);
    if (failed) {
      const error = `${failed.error} (trying again)`;
      return { name, version, sha256, state: 'failed' as const, error, retrying: true as const };
    }
    if (!state.desired)
      return { name, version, sha256, state: 'failed' as const, error: 'its file is not on this node' };
    const arriving = blobs.some((blob) => blob?.state === 'downloading');
    return { name, version, sha256, state: arriving ? ('downloading' as const) : ('waiting' as const) };
  });
}

/** Why models are not loaded although they are wanted, by id: forms that did not prove themselves. */
function problems(state: NodeState): Map<string, string> {
  const all = choices(state);
  const loaded = modelsToLoad(state, all);
  const found = [...all].flatMap(([name, { wanted, chosen }]) => {
    const problem = wanted && wanted !== chosen ? problemOf(state, name, wanted.key) : undefined;
    return problem === undefined ? [] : (wanted?.models ?? []).map((model) => [modelId(model), problem] as const);
  });
  return new Map(found.filter(([id]) => !loaded.has(id)));
}

function describeTriggers(state: NodeState, described: Described['models']): Described['triggers'] {
  const models = new Map(described.map((model) => [model.name, model]));
  const failed = (name: string, error: string): Described['triggers'][number] => {
    const goesOn = state.triggers.get(name)?.running ? '; its previous form goes on' : '';
    return { name, state: 'failed', error: error + goesOn };
  };
  const all = choices(state);
  const given = [...wantedTriggers(state).values()].map((trigger) => {
    const { name } = trigger;
    const wanted = all.get(name)?.wanted;
    const missing = modelsOf(trigger).find((model) => !models.has(model));
    if (missing) return failed(name, `model "${missing}" is not on this node: add the model, or correct the name`);
    const problem = wanted && problemOf(state, name, wanted.key);
    if (problem !== undefined) return failed(name, problem);
    const broken = modelsOf(trigger).find((model) => models.get(model)?.state === 'failed');
    if (broken) return failed(name, `model "${broken}": ${models.get(broken)?.error}`);
    const slot = state.triggers.get(name);
    if (slot?.starting) return { name, state: 'loading' as const };
    const isReady = slot?.running && slot.running.key === wanted?.key;
    if (!isReady) return { name, state: 'waiting' as const };
    const { proving } = slot;
    const doubt = proving?.error !== undefined && { error: proving.error };
    return { name, state: 'ready' as const, ...(proving && { provisional: true as const }), ...doubt };
  });
  const refused = (state.desired?.refused ?? []).map(({ name, error }) => failed(name, error));
  return [...given, ...refused];
}

/** For another version of the node's program (software.ts): a model or a trigger serves as long as any form of it does. */
export function itemsOf(state: NodeState): Items {
  const { models, triggers } = describe(state);
  const loaded = Object.values(state.models).filter((slot) => slot.state === 'ready');
  const running = [...state.triggers].filter(([, slot]) => slot.running);
  const names = loaded.map(({ model }) => `model ${model.name}`);
  const all = choices(state);
  const chosen = [...all].flatMap(([name, choice]) => (choice.chosen ? `trigger ${name}` : []));
  return {
    ready: [...new Set(names), ...running.map(([name]) => `trigger ${name}`)],
    wanted: [...[...modelsToLoad(state, all).values()].map(({ name }) => `model ${name}`), ...chosen],
    isSettled: isSettled({ models, triggers }) && !models.some(({ retrying }) => retrying) && !isStarting(state),
  };
}

/** Forms that serve in place of one that failed are on their way, as after each start: what is described is the form that failed. */
function isStarting(state: NodeState): boolean {
  const blobs = blobsOf(modelsToLoad(state).values()).map(({ sha256 }) => state.blobs[sha256]);
  return (
    blobs.some((blob) => blob?.state === 'downloading') ||
    Object.values(state.models).some((slot) => slot.state === 'loading') ||
    [...state.triggers.values()].some(({ starting }) => starting !== undefined)
  );
}

/**
 * Everything is ready, or has failed for a stated reason; also where it is tried again: the rest is as it should be, and one file that
 * cannot be fetched must not hide that.
 */
export function isSettled({ models, triggers }: Described): boolean {
  return [...models, ...triggers].every((item) => item.state === 'ready' || item.state === 'failed');
}
