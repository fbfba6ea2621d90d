/** What all parts of a simulated fleet share: time, chance, faults, the list of what went wrong, and the crash points seen. */
import { Clock } from './clock.ts';
import { Chance } from './random.ts';

/**
 * Every place at which a process can stop, with the chance that it does, each time that it passes there: the rarer a place, the
 * greater. At the four last ones it is stopped from outside.
 */
export const CRASH_POINTS = {
  'node: before its units are written': 0.003,
  'node: after its units are written': 0.003,
  'node: before a message about units is sent': 0.003,
  'node: while a unit is run': 0.005,
  'node: before its desired state is written': 0.02,
  'node: after its desired state is written': 0.02,
  'node: before proofs are written': 0.02,
  'node: after proofs are written': 0.02,
  'node: while a blob is downloaded': 0.02,
  'node: while a model is loaded': 0.02,
  'node: while a trigger is swapped': 0.02,
  'node: while a new form begins to be compared': 0.05,
  'node: while a version of its program is fetched': 0.05,
  'node: before it writes what is to be ready again': 0.05,
  'node: before it asks for another version': 0.05,
  'node: before it says that it is proved': 0.05,
  'launcher: before its choice is written': 0.02,
  'launcher: after its choice is written': 0.02,
  'controller: before tasks are committed': 0.002,
  'controller: after tasks are committed': 0.002,
  'controller: between two messages about tasks': 0.002,
  'controller: before desired states are committed': 0.05,
  'controller: after desired states are committed': 0.02,
  'controller: before a rollout moves on': 0.05,
  'controller: after a rollout moves on': 0.05,
  "controller: before a rollout's progress is written": 0.02,
  "controller: after a rollout's progress is written": 0.02,
  'node: at any time': 0,
  'machine: at any time': 0,
  'controller: at any time': 0,
  'broker: at any time': 0,
};

export type CrashPoint = keyof typeof CRASH_POINTS;

export class World {
  readonly clock = new Clock();
  readonly chance: Chance;
  /** While it is true, things go wrong. */
  faulty = true;
  readonly violations: string[] = [];
  readonly crashes = new Map<CrashPoint, number>();
  /** Versions of their program that nodes found to be good, and that they gave up. */
  readonly trials = { proved: 0, givenUp: 0 };
  readonly #trace: ((line: string) => void) | undefined;

  constructor(seed: number, trace?: (line: string) => void) {
    this.chance = new Chance(seed);
    this.#trace = trace;
  }

  get now(): number {
    return this.clock.now;
  }

  happens(probability: number): boolean {
    return this.faulty && this.chance.happens(probability);
  }

  /** Whether the process that passes this point stops there. */
  stopsAt(point: CrashPoint): boolean {
    if (!this.happens(CRASH_POINTS[point])) return false;
    this.crashed(point);
    return true;
  }

  crashed(point: CrashPoint): void {
    this.crashes.set(point, (this.crashes.get(point) ?? 0) + 1);
    this.say(`stops: ${point}`);
  }

  violate(law: string): void {
    this.violations.push(`${(this.now / 1000).toFixed(3)} s: ${law}`);
    this.say(`VIOLATION: ${law}`);
  }

  say(what: string): void {
    this.#trace?.(`${(this.now / 1000).toFixed(3).padStart(9)} ${what}`);
  }
}
