/** Versions of its program on a simulated node: the real machine, in the order of effects of software-updates.ts. */
import {
  describeSoftware,
  type Items,
  initialSoftware,
  type SoftwareEffect,
  type SoftwareEvent,
  type SoftwareState,
  step,
} from '../../runtime/node/software.ts';
import type { ReportedSoftware, Software } from '../../runtime/protocol/software.ts';
import type { Disk } from './node-disk.ts';
import type { SimLauncher } from './node-launcher.ts';
import { softwareQualityOf } from './quality.ts';
import type { CrashPoint, World } from './world.ts';

/** Of one process of a node. */
export interface SoftwarePorts {
  readonly world: World;
  readonly disk: Disk;
  readonly launcher: SimLauncher;
  stopsAt(point: CrashPoint): boolean;
  later(delayMs: number, run: () => void): void;
  diskIsFull(): boolean;
  /** The line, or the disk. */
  fetchFails(): boolean;
  items(): Items;
  held(): string | null;
  connected(): boolean;
  report(): void;
  proved(): void;
  /** Ends this process; the launcher has noted what it starts next. */
  end(): void;
}

export class SimSoftware {
  readonly #ports: SoftwarePorts;
  #state: SoftwareState;

  constructor(ports: SoftwarePorts) {
    this.#ports = ports;
    this.#state = initialSoftware(ports.launcher.launched, ports.disk.readyBefore);
  }

  want(software: Software | undefined): void {
    this.#send({ type: 'wanted', software });
  }

  tick(): void {
    const { items, held, connected } = this.#ports;
    this.#send({ type: 'tick', hold: held(), connected: connected(), items: items() });
  }

  describe(): ReportedSoftware {
    return describeSoftware(this.#state);
  }

  #send(event: SoftwareEvent): void {
    const { state, effects } = step(this.#state, event, this.#ports.world.now);
    this.#state = state;
    for (const effect of effects) this.#carryOut(effect);
  }

  #carryOut(effect: SoftwareEffect): void {
    const { world, disk, launcher, stopsAt, later, report } = this.#ports;
    switch (effect.type) {
      case 'fetch':
        if (effect.software.sha256 !== undefined) launcher.sweep(effect.software.sha256);
        later(world.chance.between(50, 5_000), () => this.#fetch(effect.software));
        return;
      case 'switch':
        if (stopsAt('node: before it writes what is to be ready again')) return;
        if (this.#ports.diskIsFull()) this.#send({ type: 'switchFailed', error: 'the disk is full' });
        else {
          disk.readyBefore = effect.ready;
          later(world.chance.between(1, 300), () => this.#ask(effect.software));
        }
        return;
      case 'proved':
        if (stopsAt('node: before it says that it is proved')) return;
        launcher.proved();
        this.#ports.proved();
        return;
      case 'report':
        report();
    }
  }

  #ask({ sha256 }: Software): void {
    const { launcher, stopsAt, end } = this.#ports;
    if (stopsAt('node: before it asks for another version')) return;
    const outcome = launcher.tried(sha256);
    if (outcome === 'kept') end();
    else if (outcome === 'full') this.#send({ type: 'switchFailed', error: 'the disk is full' });
  }

  #fetch({ sha256, version }: Software): void {
    const { world, launcher, stopsAt, fetchFails } = this.#ports;
    if (stopsAt('node: while a version of its program is fetched')) return;
    const isUnfit = softwareQualityOf(sha256) === 'cannot be installed';
    const isRefused = !isUnfit && world.happens(0.02);
    const fails = sha256 !== undefined && (isUnfit || isRefused || fetchFails());
    if (!fails && sha256 !== undefined) launcher.install(sha256);
    const failure = { error: `${version}: simulated`, isFinal: isUnfit, isRefused };
    this.#send(fails ? { type: 'fetchFailed', sha256, ...failure } : { type: 'installed', sha256 });
  }
}
