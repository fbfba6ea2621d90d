/** Works out desired states, keeps them in the database, and brings them to the broker: in this order. */
import type { DesiredState } from '../../runtime/protocol/messages.ts';
import { nodeTopic } from '../../runtime/protocol/topics.ts';
import { overlays } from '../rollouts/overlay.ts';
import type { Step } from '../rollouts/rollout.ts';
import { readActiveRollouts, readReleases, readRolloutNodes } from '../rollouts/store.ts';
import type { Database } from './database.ts';
import { type AssignedModel, type Assignment, nextDesired } from './desired.ts';
import { readSettings } from './settings-store.ts';
import { readSoftwareAssignment } from './software-store.ts';
import { readModels, readNodes, readTriggers, released, type StoredModel, saveDesired } from './store.ts';

/** Messages on their way to the broker at the same time. */
const WINDOW = 100;

export interface Publication {
  readonly node: string;
  readonly desired: DesiredState;
}

/**
 * Brings the desired states of all nodes (or of those named) up to date inside the caller's transaction, and returns
 * those that changed: to be published once the transaction is committed. A state that would not fit into one message is
 * refused with an Error, or left as it is where `onRefused` takes the Error.
 */
export async function refreshDesired(
  database: Database,
  options: { files: string; now: number; nodes?: readonly string[]; onRefused?: (error: Error) => void },
): Promise<Publication[]> {
  if (options.nodes?.length === 0) return [];
  const assignment = await readAssignment(database, options.files, options.nodes);
  const changed: Publication[] = [];
  for (const { name, reported, desired } of await readNodes(database, options.nodes)) {
    const facts = { name, labels: reported?.labels ?? {}, reachedVersion: reported?.desiredVersion ?? 0 };
    try {
      const next = nextDesired(desired, facts, assignment, options.now);
      if (next === desired || next === null) continue;
      await saveDesired(database, name, next);
      changed.push({ node: name, desired: next });
    } catch (error) {
      if (!options.onRefused) throw error;
      options.onRefused(error as Error);
    }
  }
  return changed;
}

async function readAssignment(database: Database, files: string, nodes?: readonly string[]): Promise<Assignment> {
  const all = await readModels(database);
  const models = released(all, await readReleases(database)).map(asAssigned);
  const steps: Step[] = [];
  for (const rollout of await readActiveRollouts(database))
    steps.push({ rollout, nodes: await readRolloutNodes(database, rollout.id, nodes) });
  const software = await readSoftwareAssignment(database);
  const versionOf = (name: string, version: number) => {
    const found = all.find((model) => model.name === name && model.version === version);
    return found && asAssigned(found);
  };
  return {
    ...{ files, models, triggers: await readTriggers(database), settings: await readSettings(database) },
    software,
    overlays: overlays(steps, versionOf, software.versions),
  };
}

function asAssigned({ name, version, sha256, bytes, chunksSha256, labelsSha256 }: StoredModel): AssignedModel {
  return {
    ...{ name, version, sha256, bytes },
    ...(chunksSha256 !== null && { chunks: chunksSha256 }),
    ...(labelsSha256 !== null && { labels: labelsSha256 }),
  };
}

export interface Publisher {
  /** Retained, QoS 1. Never rejects: what cannot be published now is published on the next connection. */
  publish(publications: readonly Publication[]): Promise<void>;
  publishAll(): Promise<void>;
}

export function createPublisher(
  database: Database,
  send: (topic: string, payload: string) => Promise<void>,
  onFailure: (error: Error) => void,
): Publisher {
  /** The newest version handed to the broker: an older one that was read before must not replace it there. */
  const sent = new Map<string, number>();
  const publish = async (publications: readonly Publication[]): Promise<void> => {
    for (let start = 0; start < publications.length; start += WINDOW) {
      const window = publications.slice(start, start + WINDOW).filter(({ node, desired }) => {
        if ((sent.get(node) ?? 0) > desired.version) return false;
        sent.set(node, desired.version);
        return true;
      });
      const outcomes = await Promise.allSettled(
        window.map(({ node, desired }) => send(nodeTopic(node, 'desired'), JSON.stringify(desired))),
      );
      const failure = outcomes.find((outcome) => outcome.status === 'rejected');
      if (failure) return onFailure(failure.reason);
    }
  };
  return {
    publish,
    async publishAll() {
      const nodes = await readNodes(database);
      await publish(nodes.flatMap(({ name, desired }) => (desired ? [{ node: name, desired }] : [])));
    },
  };
}
