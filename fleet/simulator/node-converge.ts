/** What a simulated node is to be: the real machine in one process, in the order of effects of converge.ts. */

import { describe } from '../../runtime/node/describe.ts';
import {
  type CheckedDesired,
  type Effect,
  type Event,
  initialState,
  type NodeState,
  type WantedModel,
} from '../../runtime/node/node-state.ts';
import type { Proofs, Served } from '../../runtime/node/proof.ts';
import { nextWake, reachedVersion, step } from '../../runtime/node/reconcile.ts';
import type { Disk } from './node-disk.ts';
import { SimTrials } from './node-trials.ts';
import { qualityOf, softwareQualityOf } from './quality.ts';
import type { CrashPoint, World } from './world.ts';

export interface ConvergePorts {
  readonly node: string;
  readonly world: World;
  readonly disk: Disk;
  /** The version of the node's program that this process is; undefined: the one that came with the machine. */
  readonly program: string | undefined;
  isAlive(): boolean;
  diskIsFull(): boolean;
  fetchFails(): boolean;
  stopsAt(point: CrashPoint): boolean;
  later(delayMs: number, run: () => void): void;
  crash(): void;
  report(): void;
}

export class SimConverge {
  readonly #ports: ConvergePorts;
  #state: NodeState;
  #wake = 0;
  #servedAt: number;
  readonly #counts = new Map<string, Served>();
  readonly #trials = new SimTrials();
  /** By trigger, the form that this process has started. */
  readonly #running = new Map<string, string>();
  /** Effects that change anything. */
  changes = 0;

  constructor(ports: ConvergePorts) {
    this.#ports = ports;
    this.#state = initialState(ports.node);
    this.#servedAt = ports.world.now;
  }

  get state(): NodeState {
    return this.#state;
  }

  get comparesAny(): boolean {
    return this.#trials.size > 0;
  }

  start(desired: CheckedDesired | null, isOnTrial: boolean): void {
    const { blobs, proofs, hold } = this.#ports.disk;
    this.send({
      type: 'started',
      desired,
      present: [...blobs],
      partial: [],
      local: { models: [], triggers: [] },
      proofs: new Map(JSON.parse(proofs)) as Proofs,
      hold,
      isOnTrial,
    });
  }

  /** As it is reported. */
  describe() {
    const held = this.#state.hold === null ? {} : { held: this.#state.hold };
    const trials = this.#trials.describe(this.#state, this.#ports.world.now);
    return { desiredVersion: reachedVersion(this.#state), ...describe(this.#state), ...held, ...trials };
  }

  send(event: Event): void {
    if (!this.#ports.isAlive()) return;
    // Until now it was the form before that served.
    if (event.type === 'triggerStarted') this.#served();
    const { state, effects } = step(this.#state, event, this.#ports.world.now);
    this.#state = state;
    for (const effect of effects) {
      if (!this.#ports.isAlive()) return;
      if (effect.type !== 'report') this.changes++;
      this.#carryOut(effect);
    }
    const wake = nextWake(this.#state);
    if (wake === undefined || wake === this.#wake) return;
    this.#wake = wake;
    this.#ports.later(wake - this.#ports.world.now, () => {
      if (this.#wake !== wake) return; // Another one has taken its place.
      this.#wake = 0;
      this.send({ type: 'tick', served: this.#served() });
    });
  }

  #carryOut(effect: Effect): void {
    const { chance } = this.#ports.world;
    switch (effect.type) {
      case 'saveDesired': {
        if (this.#ports.stopsAt('node: before its desired state is written')) return;
        if (!this.#ports.diskIsFull()) this.#ports.disk.desired = JSON.stringify(effect.desired);
        this.#ports.stopsAt('node: after its desired state is written');
        return;
      }
      case 'saveProofs': {
        if (this.#ports.stopsAt('node: before proofs are written')) return;
        if (!this.#ports.diskIsFull()) this.#ports.disk.proofs = JSON.stringify([...effect.proofs]);
        this.#ports.stopsAt('node: after proofs are written');
        return;
      }
      case 'saveHold':
        if (!this.#ports.diskIsFull()) this.#ports.disk.hold = effect.hold;
        return;
      case 'download':
        this.#ports.later(chance.between(50, 5_000), () => this.#download(effect.file.sha256));
        return;
      case 'removeBlob':
        this.#ports.disk.blobs.delete(effect.sha256);
        return;
      case 'load':
        this.#ports.later(chance.between(10, 500), () => this.#load(effect.id, effect.model));
        return;
      case 'startTrigger': {
        const { name } = effect.trigger;
        const before = this.#running.get(name);
        if (this.#state.hold !== null && before !== undefined && before !== effect.key)
          this.#ports.world.violate(`${this.#ports.node} changes trigger ${name} although it is held`);
        this.#running.set(name, effect.key);
        if (!this.#ports.stopsAt('node: while a trigger is swapped'))
          this.#ports.later(0, () => this.send({ type: 'triggerStarted', name, key: effect.key }));
        return;
      }
      case 'stopTrigger':
        if (this.#running.delete(effect.name) && this.#state.hold !== null)
          this.#ports.world.violate(`${this.#ports.node} stops trigger ${effect.name} although it is held`);
        if (this.#state.desired?.triggers.some(({ name }) => name === effect.name))
          this.#ports.world.violate(`${this.#ports.node} stops trigger ${effect.name}, which it is to run`);
        return;
      case 'startTrial': {
        if (this.#ports.stopsAt('node: while a new form begins to be compared')) return;
        this.#trials.start(effect, this.#state, this.#ports.world.now);
        return;
      }
      case 'stopTrial':
        this.#trials.stop(effect.name);
        return;
      case 'report':
        this.#ports.report();
    }
  }

  /** A message a second for every trigger, which its models answer or not. */
  #served(): Map<string, Served> {
    const seconds = Math.floor((this.#ports.world.now - this.#servedAt) / 1_000);
    this.#servedAt += seconds * 1_000;
    for (const [name, { running }] of this.#state.triggers) {
      const { answered = 0, failed = 0 } = this.#counts.get(name) ?? {};
      const fails = running?.models.some((model) => qualityOf(model) === 'fails messages') ?? false;
      const counts = fails ? { answered, failed: failed + seconds } : { answered: answered + seconds, failed };
      this.#counts.set(name, counts);
    }
    return this.#counts;
  }

  #load(id: string, model: WantedModel): void {
    if (this.#ports.stopsAt('node: while a model is loaded')) return;
    const quality = qualityOf(model);
    const loadsNone = softwareQualityOf(this.#ports.program) === 'loads no model';
    if (quality === 'takes the process down') this.#ports.crash();
    else if (quality === 'does not load' || loadsNone)
      this.send({ type: 'loadFailed', id, error: `${id} does not load` });
    else this.send({ type: 'loaded', id, engine: 'llmasos' });
  }

  #download(sha256: string): void {
    if (this.#ports.stopsAt('node: while a blob is downloaded')) return;
    const fails = this.#ports.fetchFails();
    if (!fails) this.#ports.disk.blobs.add(sha256);
    this.send(fails ? { type: 'downloadFailed', sha256, error: 'simulated' } : { type: 'downloaded', sha256 });
  }
}
