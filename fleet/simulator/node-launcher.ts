/** The launcher of a simulated machine: the real choices on its disk, each of which is written whole before anything follows from it. */
import * as launch from '../../devices/gateway/launch-state.ts';
import type { Launched } from '../../runtime/node/software.ts';
import type { CrashPoint, World } from './world.ts';

/** So long has a version to prove itself. */
export const TRIAL_MS = 60_000;

export class SimLauncher {
  readonly #node: string;
  readonly #world: World;
  /** Whether the machine stops there, and with it both processes. */
  readonly #stopsAt: (point: CrashPoint) => boolean;
  readonly #diskIsFull: () => boolean;
  /** On the disk, and as this process of the launcher sees it. */
  #kept = launch.FIRST;
  #state = launch.FIRST;
  /** Versions on the disk, whole. */
  readonly #installed = new Set<string>();

  constructor(node: string, world: World, stopsAt: (point: CrashPoint) => boolean, diskIsFull: () => boolean) {
    this.#node = node;
    this.#world = world;
    this.#stopsAt = stopsAt;
    this.#diskIsFull = diskIsFull;
  }

  /** As it tells the program that it starts. */
  get launched(): Launched {
    const { rejected, trial } = this.#state;
    const told = rejected && { sha256: rejected.program ?? undefined, error: rejected.error };
    return { version: 'x', sha256: this.program, isTrial: trial !== null, rejected: told };
  }

  /** What it starts; undefined: the program that the machine came with. */
  get program(): string | undefined {
    return launch.chosen(this.#state) ?? undefined;
  }

  /** False when the machine stops meanwhile. */
  start(): boolean {
    const outcome = this.#keep(launch.starting(this.#state));
    if (outcome === 'full') this.#state = { ...this.#state, trial: null };
    return outcome !== 'stopped' && this.#check();
  }

  /** A trial that waited for room on the disk may have been swept away by a later version; what worked may not. */
  #check(): boolean {
    const { program } = this;
    if (program === undefined || this.#installed.has(program)) return true;
    if (!this.#state.trial)
      this.#world.violate(`${this.#node}: its good version ${program} is not on its disk any more`);
    return this.#become(launch.damaged(this.#state, 'it is not on the disk any more')) && this.#check();
  }

  /** The machine starts again: what only was in memory is gone. */
  boot(): void {
    this.#state = this.#kept;
  }

  /** Before a version is fetched: those that nobody may start any more make room. */
  sweep(wanted: string): void {
    if (this.#installed.has(wanted)) return;
    // What the disk still says is good is started after a power cut.
    const kept = [launch.chosen(this.#state), this.#state.good, this.#kept.good, launch.chosen(this.#kept)];
    for (const one of this.#installed) if (!kept.includes(one)) this.#installed.delete(one);
  }

  /** A version is whole on the disk. */
  install(sha256: string): void {
    this.#installed.add(sha256);
  }

  ended(how: string): void {
    this.#become(launch.ended(this.#state, how));
  }

  /** `kept`: it is on the disk, and the node may end. */
  tried(program: string | undefined): 'kept' | 'full' | 'stopped' {
    return this.#keep(launch.tried(this.#state, program ?? null));
  }

  proved(): void {
    if (this.#state.trial) this.#world.trials.proved++;
    this.#become(launch.proved(this.#state));
  }

  /** The time of the trial is over. */
  giveUp(): void {
    this.#become(launch.rejected(this.#state, `did not prove itself within ${TRIAL_MS / 1000} s`));
  }

  /** False when the machine stops meanwhile. */
  #become(next: launch.LaunchState): boolean {
    const outcome = this.#keep(next);
    if (outcome === 'full') this.#state = next;
    return outcome !== 'stopped';
  }

  #keep(next: launch.LaunchState): 'kept' | 'full' | 'stopped' {
    if (next === this.#state) return 'kept';
    if (this.#stopsAt('launcher: before its choice is written')) return 'stopped';
    if (next.rejected && next.rejected !== this.#state.rejected) {
      this.#world.trials.givenUp++;
      this.#world.say(`${this.#node} gives up ${next.rejected.program}: ${next.rejected.error}`);
    }
    if (this.#diskIsFull()) return 'full';
    this.#kept = launch.readLaunchState(JSON.stringify(next));
    this.#state = this.#kept;
    return this.#stopsAt('launcher: after its choice is written') ? 'stopped' : 'kept';
  }
}
