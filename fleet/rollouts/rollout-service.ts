/**
 * Rollouts at work. The database has all of it: a look reads what is active, lets the machine (rollout.ts) go on, and commits
 * what has changed together with the desired states that follow, which are published then. So whoever looks next goes on.
 */
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import type { Database } from '../controller/database.ts';
import { unknownSoftware } from '../controller/software-service.ts';
import { readSoftware, readSoftwareAssignment, releaseSoftware } from '../controller/software-store.ts';
import { newest, readModels, readNodes, readTriggers, released, saveTrigger } from '../controller/store.ts';
import { checkModels } from '../controller/triggers.ts';
import {
  advance,
  compares,
  courseOf,
  gets,
  isActive,
  newRollout,
  paused,
  type Rollout,
  resumed,
  type Step,
  stopping,
} from './rollout.ts';
import { candidatesFor, sightOf, type Versions } from './sight.ts';
import { type RolloutSpec, type Target, targetText } from './spec.ts';
import {
  forgetEndedRollouts,
  readActiveRollouts,
  readReleases,
  readRollout,
  readRolloutNodes,
  readRollouts,
  refuseWhileRolledOut,
  saveRelease,
  saveStep,
} from './store.ts';
import { type RolloutDetail, type RolloutView, rolloutDetail, rolloutView } from './view.ts';

const LOOK_MS = 1_000;
/** After a start, or a time without the broker, nodes are heard again before one counts as away. */
export const HEAR_MS = 10_000;
/** How long a stage has lasted is written now and then: a start of the controller may lose so much of it. */
const SAVE_WAITED_MS = 10_000;
const KEPT_MS = 90 * 86_400_000;
const ACTIVE_MAX = 50;

export interface RolloutPorts {
  readonly database: Database;
  readonly now: () => number;
  readonly log: Logger;
  isOnline(node: string): boolean;
  /** Commits the work with the desired states that follow from it, then publishes those. */
  change<T>(work: (transaction: Database) => Promise<T>): Promise<T>;
}

/** Every rejection is an Error whose message is fit for the person who asked. */
export interface Rollouts {
  /** On the disk when it resolves. The same id and content again is the rollout that is there. */
  start(spec: RolloutSpec): Promise<RolloutDetail>;
  /** The newest thousand. */
  list(): Promise<RolloutView[]>;
  show(id: string): Promise<RolloutDetail>;
  /** No further node gets it; those that have it keep it. */
  pause(id: string): Promise<RolloutView>;
  resume(id: string): Promise<RolloutView>;
  /** Takes it back from the nodes that have it. */
  abort(id: string): Promise<RolloutView>;
}

export class RolloutService implements Rollouts {
  readonly #ports: RolloutPorts;
  readonly #timer: NodeJS.Timeout;
  /** Since when nodes can be heard. */
  #upAt: number | undefined;
  #lookedAt: number;
  /** By rollout: time that has passed since what is written of it. */
  readonly #unwritten = new Map<string, number>();
  /** Looks and orders, one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(ports: RolloutPorts) {
    this.#ports = ports;
    this.#lookedAt = ports.now();
    this.#timer = setInterval(() => {
      this.#inTurn(() => this.#look()).catch((error: Error) => ports.log.warn(`rollouts wait: ${error.message}`));
    }, LOOK_MS);
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    await this.#turn;
  }

  linkUp(): void {
    this.#upAt = this.#ports.now();
  }

  linkDown(): void {
    this.#upAt = undefined;
  }

  start(spec: RolloutSpec): Promise<RolloutDetail> {
    return this.#inTurn(async () => {
      const id = spec.id ?? randomUUID().slice(0, 8);
      const known = await readRollout(this.#ports.database, id);
      if (known) return this.#theSame(known, spec);
      const begun = await this.#ports.change((transaction) => this.#begin(transaction, id, spec));
      this.#ports.log.info(`rollout "${id}" of ${targetText(spec.target)} to ${begun.nodes.length} nodes has begun`);
      return rolloutDetail(begun.rollout, begun.nodes);
    });
  }

  async list(): Promise<RolloutView[]> {
    return (await readRollouts(this.#ports.database)).map(rolloutView);
  }

  async show(id: string): Promise<RolloutDetail> {
    const { rollout, nodes } = await this.#read(this.#ports.database, id);
    return rolloutDetail(rollout, nodes);
  }

  pause(id: string): Promise<RolloutView> {
    return this.#order(id, ({ rollout, nodes }) => ({ rollout: paused(rollout), nodes }));
  }

  resume(id: string): Promise<RolloutView> {
    return this.#order(id, ({ rollout, nodes }) => ({ rollout: resumed(rollout), nodes }));
  }

  abort(id: string): Promise<RolloutView> {
    return this.#order(id, (step) => stopping(step, 'aborted'));
  }

  /** Forgets what ended long ago. */
  forget(): Promise<void> {
    const before = this.#ports.now() - KEPT_MS;
    return this.#ports.database.transaction().execute((transaction) => forgetEndedRollouts(transaction, before));
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #theSame(known: Rollout, spec: RolloutSpec): Promise<RolloutDetail> {
    if (JSON.stringify({ ...known.spec, id: known.id }) !== JSON.stringify({ ...spec, id: known.id }))
      throw new Error(`rollout "${known.id}": another rollout has this id; choose a new one`);
    return this.show(known.id);
  }

  async #begin(transaction: Database, id: string, spec: RolloutSpec): Promise<Step> {
    await this.#checkTarget(transaction, spec);
    const active = await readActiveRollouts(transaction);
    if (active.length >= ACTIVE_MAX)
      throw new Error(`rollout "${id}": ${ACTIVE_MAX} rollouts are active, no more fit; wait for one to end`);
    await refuseWhileRolledOut(transaction, spec.target);
    const nodes = (await readNodes(transaction)).map(({ name, reported }) => ({
      name,
      labels: reported?.labels ?? {},
      features: reported?.features,
    }));
    const candidates = candidatesFor(spec.target, await readTriggers(transaction), nodes, this.#ports.isOnline);
    if (candidates.length === 0)
      throw new Error(
        spec.target.kind === 'software'
          ? `rollout "${id}": no node can replace its program; those can that the launcher has started`
          : `rollout "${id}": no node is to have ${targetText(spec.target)}; a trigger that goes to nodes brings it there`,
      );
    const step = newRollout(id, spec, candidates, this.#ports.now());
    await saveStep(transaction, undefined, step);
    return step;
  }

  async #checkTarget(transaction: Database, { target, compare }: RolloutSpec): Promise<void> {
    if (target.kind === 'software') return checkSoftware(transaction, target.version, compare !== undefined);
    const models = await readModels(transaction);
    if (target.kind === 'trigger') {
      const { trigger } = target;
      checkModels(trigger, newest(models));
      const there = (await readTriggers(transaction)).find((stored) => stored.trigger.name === trigger.name);
      if (!there)
        throw new Error(`there is no trigger "${trigger.name}" yet; "llmasos triggers add" brings a first one`);
      if (JSON.stringify(there.trigger) === JSON.stringify(trigger))
        throw new Error(`trigger "${trigger.name}" is like this on every node already`);
      return;
    }
    const { model, version } = target;
    const versions = models.filter(({ name }) => name === model).map((one) => one.version);
    if (!versions.includes(version))
      throw new Error(
        `model "${model}" has no version ${version}; it has ${versions.join(', ') || 'none'}; "llmasos models add --register-only" adds one`,
      );
    const now = released(models, await readReleases(transaction)).find(({ name }) => name === model);
    if (now?.version === version)
      throw new Error(`model "${model}": version ${version} is what every node gets already`);
  }

  #order(id: string, change: (step: Step) => Step): Promise<RolloutView> {
    return this.#inTurn(async () => {
      const { rollout } = await this.#ports.change(async (transaction) => {
        const before = await this.#read(transaction, id);
        const after = change(before);
        if (after.rollout === before.rollout && !isActive(before.rollout))
          throw new Error(`rollout "${id}" has ended: ${before.rollout.state}, ${before.rollout.reason}`);
        await saveStep(transaction, before, after);
        return after;
      });
      return rolloutView(rollout);
    });
  }

  async #look(): Promise<void> {
    const { database, now } = this.#ports;
    const elapsedMs = Math.min(now() - this.#lookedAt, 2 * LOOK_MS);
    this.#lookedAt = now();
    if (this.#upAt === undefined || now() - this.#upAt < HEAR_MS) return;
    for (const { id } of await readActiveRollouts(database)) {
      const waitedMs = (this.#unwritten.get(id) ?? 0) + elapsedMs;
      this.#unwritten.set(id, waitedMs);
      const { before, after } = await this.#next(database, id, waitedMs);
      const course = courseOf(before, after);
      const moved = course === 'moves';
      if (course === 'same' && waitedMs < SAVE_WAITED_MS) continue;
      const write = async (transaction: Database): Promise<Step> => {
        const { before, after } = await this.#next(transaction, id, waitedMs);
        await saveStep(transaction, before, after);
        if (after.rollout.state === 'finished') await this.#release(transaction, after.rollout.spec.target);
        return after;
      };
      const { rollout } = await (moved ? this.#ports.change(write) : database.transaction().execute(write));
      this.#unwritten.delete(id);
      if (moved)
        this.#ports.log.info(`rollout "${id}": ${rollout.state}, phase ${rollout.phase + 1}: ${rollout.reason ?? ''}`);
    }
  }

  async #next(database: Database, id: string, waitedMs: number): Promise<{ before: Step; after: Step }> {
    const before = await this.#read(database, id);
    const { rollout } = before;
    const names = before.nodes
      .filter(
        (node) =>
          gets(rollout, node) ||
          compares(rollout, node) ||
          (rollout.state === 'stopping' && node.execution !== 'canceled'),
      )
      .map(({ node }) => node);
    const nodes = new Map((await readNodes(database, names)).map((node) => [node.name, node]));
    const { target } = rollout.spec;
    const versions = await versionsOf(database, target);
    const sees = (node: string) => sightOf(rollout, nodes.get(node), this.#ports.isOnline(node), versions(node));
    return { before, after: advance(before, sees, waitedMs, this.#ports.now()) };
  }

  /** From now on it is what every node gets. */
  async #release(transaction: Database, target: Target): Promise<void> {
    if (target.kind === 'software') return releaseSoftware(transaction, target.version);
    if (target.kind === 'model') {
      const [last] = await readModels(transaction, target.model);
      return saveRelease(transaction, target.model, last?.version === target.version ? undefined : target.version);
    }
    const { trigger } = target;
    const stored = (await readTriggers(transaction)).find((one) => one.trigger.name === trigger.name);
    if (stored)
      await saveTrigger(transaction, { ...stored, trigger, revision: stored.revision + 1 }, this.#ports.now());
  }

  async #read(database: Database, id: string): Promise<Step> {
    const rollout = await readRollout(database, id);
    if (!rollout) throw new Error(`there is no rollout "${id}"; "llmasos rollouts list" shows those that there are`);
    return { rollout, nodes: await readRolloutNodes(database, id) };
  }
}

async function versionsOf(database: Database, target: Target): Promise<(node: string) => Versions> {
  const none = { releasedModel: undefined, softwareBefore: undefined, software: undefined };
  if (target.kind === 'trigger') return () => none;
  if (target.kind === 'model') {
    const [model] = released(await readModels(database, target.model), await readReleases(database));
    return () => ({ ...none, releasedModel: model?.version });
  }
  const assignment = await readSoftwareAssignment(database);
  const software = assignment.versions.get(target.version)?.sha256;
  const before = (node: string) => (assignment.byNode.get(node) ?? assignment.released)?.sha256;
  return (node) => ({ ...none, software, softwareBefore: before(node) });
}

async function checkSoftware(transaction: Database, version: string, compares: boolean): Promise<void> {
  if (compares) throw new Error('software: expected no --compare: two programs cannot serve one node at the same time');
  const all = await readSoftware(transaction);
  const found = all.find(({ manifest }) => manifest.version === version);
  if (!found) throw unknownSoftware(version, all);
  if (found.released) throw new Error(`software ${version} is what every node gets already`);
}
