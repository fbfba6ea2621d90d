/** The controller's side of rollouts: the real machine on simulated rows, in the order of rollout-service.ts. */
import { overlays } from '../rollouts/overlay.ts';
import { advance, courseOf, isActive, newRollout, type Step } from '../rollouts/rollout.ts';
import { HEAR_MS } from '../rollouts/rollout-service.ts';
import { candidatesFor, sightOf } from '../rollouts/sight.ts';
import type { RolloutSpec } from '../rollouts/spec.ts';
import { type Rows, softwareOf } from './rows.ts';
import type { CrashPoint, World } from './world.ts';

const LOOK_MS = 1_000;
const SAVE_WAITED_MS = 10_000;

export interface RolloutPorts {
  readonly world: World;
  readonly rows: Rows;
  isOnline(node: string): boolean;
  /** Works out what nodes should be, in the same commit, and publishes it. */
  refresh(): void;
  stopsAt(point: CrashPoint): boolean;
}

/** One process of a controller. */
export class SimRollouts {
  readonly #ports: RolloutPorts;
  readonly #unwritten = new Map<string, number>();

  constructor(ports: RolloutPorts) {
    this.#ports = ports;
  }

  /** @param upAt since when it hears nodes */
  look(upAt: number): void {
    const { world, rows } = this.#ports;
    if (world.now - upAt < HEAR_MS) return;
    for (const [id, before] of rows.rollouts) {
      if (!isActive(before.rollout)) continue;
      const waitedMs = (this.#unwritten.get(id) ?? 0) + LOOK_MS;
      this.#unwritten.set(id, waitedMs);
      const after = advance(before, (node) => this.#sees(before, node), waitedMs, world.now);
      const course = courseOf(before, after);
      if (course === 'same' && waitedMs < SAVE_WAITED_MS) continue;
      if (!this.#write(id, before, after)) return;
      this.#unwritten.delete(id);
    }
  }

  /** False when it cannot be begun; else it is on the disk. */
  start(id: string, spec: RolloutSpec): boolean {
    const { rows, isOnline, world } = this.#ports;
    const nodes = [...rows.nodes.values()].map(({ name, reported }) => ({
      ...{ name, labels: reported?.labels ?? {}, features: reported?.features },
    }));
    const candidates = candidatesFor(spec.target, [...rows.triggers.values()], nodes, isOnline);
    if (candidates.length === 0) return false;
    return this.#write(id, undefined, newRollout(id, spec, candidates, world.now));
  }

  order(id: string, change: (step: Step) => Step): boolean {
    const before = this.#ports.rows.rollouts.get(id);
    return before !== undefined && this.#write(id, before, change(before));
  }

  #sees({ rollout }: Step, name: string) {
    const { rows, isOnline } = this.#ports;
    const { target } = rollout.spec;
    const releasedModel = target.kind === 'model' ? rows.models.get(target.model)?.version : undefined;
    const { released, byNode, versions: all } = softwareOf(rows);
    const software = target.kind === 'software' ? all.get(target.version)?.sha256 : undefined;
    const versions = { releasedModel, softwareBefore: (byNode.get(name) ?? released)?.sha256, software };
    return sightOf(rollout, rows.nodes.get(name), isOnline(name), versions);
  }

  #write(id: string, before: Step | undefined, after: Step): boolean {
    const { rows, stopsAt, refresh, world } = this.#ports;
    const moves = before === undefined || courseOf(before, after) === 'moves';
    const what = moves ? 'rollout moves on' : "rollout's progress is written";
    if (stopsAt(`controller: before a ${what}`)) return false;
    if (before && !isActive(before.rollout) && before.rollout.state !== after.rollout.state)
      world.violate(`rollout ${id} was ${before.rollout.state} and becomes ${after.rollout.state}`);
    // As from a disk: nothing but what can be written is left.
    rows.rollouts.set(id, JSON.parse(JSON.stringify(after)));
    if (after.rollout.state === 'finished') release(rows, after);
    if (moves) {
      world.say(`rollout ${id}: ${after.rollout.state}, phase ${after.rollout.phase}, ${after.rollout.reason ?? ''}`);
      refresh();
    }
    stopsAt(`controller: after a ${what}`);
    return true;
  }
}

function release(rows: Rows, { rollout }: Step): void {
  const { target } = rollout.spec;
  if (target.kind === 'trigger') {
    const stored = rows.triggers.get(target.trigger.name);
    if (stored) rows.triggers.set(target.trigger.name, { ...stored, trigger: target.trigger });
    return;
  }
  if (target.kind === 'software') {
    rows.released = target.version;
    rows.given.clear();
    return;
  }
  const model = rows.versions.get(`${target.model}@${target.version}`);
  if (model) rows.models.set(target.model, model);
}

/** By node: what rollouts bring it. */
export function simOverlays({ rollouts, versions, software }: Rows) {
  const steps = [...rollouts.values()].filter(({ rollout }) => isActive(rollout));
  return overlays(steps, (model, version) => versions.get(`${model}@${version}`), software);
}
