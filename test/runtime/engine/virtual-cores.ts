/** Cores in virtual time for the real dispatcher: they take as long as they are told, and check that they are given what they left. */
import { setImmediate } from 'node:timers/promises';
import * as assert from 'uvu/assert';
import type { Clock } from '../../../runtime/engine/clock-io.ts';
import type { Core } from '../../../runtime/engine/core.ts';
import type { Segment, Stop } from '../../../runtime/engine/core-messages.ts';
import type { EngineMemory } from '../../../runtime/engine/memory.ts';
import { NEXT_RUN_BYTES, NextRun } from '../../../runtime/engine/next-run.ts';
import { Heap, type HeapItem } from '../../../runtime/schedule/heap.ts';
import type { Random } from '../../random.ts';

interface Alarm extends HeapItem {
  readonly act: () => void;
}

const EPOCH_MS = 1.8e12;

export class VirtualTime implements Clock {
  #ms = 1000;
  #sequence = 0;
  readonly #alarms = new Heap<Alarm>();

  nowMs(): number {
    return this.#ms;
  }

  epochMs(): number {
    return EPOCH_MS + this.#ms;
  }

  after(ms: number, act: () => void): () => void {
    const alarm = { key: this.#ms + ms, sequence: this.#sequence++, slot: -1, act };
    this.#alarms.add(alarm);
    return () => this.#alarms.remove(alarm);
  }

  /** Lets one thing after the other happen until nothing is left to; `watch` sees what has become of each. */
  async play(watch: () => void): Promise<void> {
    for (let alarm = this.#alarms.first; alarm; alarm = this.#alarms.first) {
      this.#alarms.remove(alarm);
      this.#ms = alarm.key;
      alarm.act();
      await setImmediate();
      watch();
    }
  }
}

/** What a run will do: its number is its input. */
export interface Course {
  /** On one core. */
  readonly needMs: number;
  readonly end: 'done' | 'fault' | 'lost';
}

interface Progress {
  readonly ids: readonly number[];
  doneMs: number;
  pc: number;
}

export interface VirtualMachine {
  readonly time: VirtualTime;
  readonly memory: EngineMemory;
  readonly random: Random;
  readonly courseOf: (id: number) => Course;
  /** Of those whose program computes several together: where it lies, and how many they are. */
  readonly batchRuns?: ReadonlyMap<number, number>;
  /** Of runs that are under way, by arena. */
  readonly arenas: Map<number, Progress>;
  readonly instructionMs: number;
  /** How often a core that stops goes on with the next run by itself. */
  readonly handOverShare: number;
}

/** The longest until it is heard that a core has gone on. */
export const TELL_MS = 0.1;
/** The same where the core was told to stop: dispatcher.ts. */
export const LOOK_MS = 1;
/** Where the next run lies, below all that is allocated. */
const NEXT_RUN_AT = 512;
/** What each further core adds. */
const FURTHER_CORE = 0.7;
const FAULT = -2;
/** What several runs take together, of the time that they take one after the other; and how far apart they lie. */
const BATCH_SHARE = 0.5;
const RUN_BYTES = 64 * 64 * 4;

export class VirtualCore {
  /** The numbers of the runs that it computes. */
  current: readonly number[] | undefined;
  /** Of those that it left for the next ones, until that is told. */
  untold: readonly number[] | undefined;
  /** How many others help with it; whether this one helps another. */
  helpers = 0;
  helps = false;
  isStopping = false;
  isReady: boolean;
  readonly hasThread = true;
  readonly block: Core['block'];
  readonly next: NextRun;
  onWentOn = (): void => {};
  handOvers = 0;
  readonly #machine: VirtualMachine;
  readonly #index: number;
  #asked: { readonly asked: Parameters<Core['block']['ask']>[0]; readonly run: number | undefined } | undefined;
  /** Ends the stretch that it computes; looks whether it is to. */
  #stop: ((given?: () => Promise<Stop>) => void) | undefined;
  #look: (() => void) | undefined;
  /** How the run before stopped, and the one that is computed in its place. */
  #left: Core['block']['left'] | undefined;
  #going: Promise<Stop> | undefined;
  #abandoned: (reason: Error) => void = () => {};

  constructor(machine: VirtualMachine, index: number) {
    this.#machine = machine;
    this.isReady = index === 0;
    this.#index = index;
    const bases = machine.memory.allocate(64, 'bases');
    this.next = new NextRun(machine.memory.memory, NEXT_RUN_AT + NEXT_RUN_BYTES);
    const setFlag = (): void => this.#answer();
    const ask: Core['block']['ask'] = (asked, run) => this.#ask(asked, run);
    const letGoOn = (): void => {
      if (this.#asked?.asked === 'make way') this.#answer();
    };
    const block = { index, bases, flag: 0, setHelpers() {}, setFlag, ask, letGoOn };
    this.block = Object.defineProperties(block, {
      left: { get: () => this.#left },
      asking: { get: () => (this.#asked ? 1 : 0) },
    }) as never;
  }

  start(): Promise<void> {
    return new Promise((resolve) => {
      this.#machine.time.after(20, () => {
        this.isReady = true;
        resolve();
      });
    });
  }

  #answer(): void {
    this.#asked = undefined;
    this.isStopping = false;
  }

  /** After the present instruction it looks at what it is asked then. */
  #ask(asked: Parameters<Core['block']['ask']>[0], run: number | undefined): void {
    if (asked === 'give way' && this.#asked) return;
    this.#asked = { asked, run };
    this.isStopping = asked !== 'give way';
    const look = this.#look;
    const { time, random, instructionMs } = this.#machine;
    if (look) time.after(random.next() * instructionMs, look);
  }

  execute({ words, pc, bases }: Segment, helpers: readonly VirtualCore[] = []): Promise<Stop> {
    return this.#begin(words, pc, this.#machine.memory.words(bases, 1)[0] as number, helpers);
  }

  goOn(): Promise<Stop> {
    this.untold = undefined;
    return this.#going as Promise<Stop>;
  }

  /** What is told of it comes a little later, or after the next run where this one is set aside. */
  #goOnWith(begin: () => Promise<Stop>, ids: readonly number[], stop: Stop): void {
    const { time, random } = this.#machine;
    this.handOvers++;
    this.#answer();
    this.#left = { stop, atMs: time.nowMs() };
    this.#going = begin();
    this.untold = ids;
    if (stop.result < 0) time.after(random.next() * TELL_MS, () => this.#tellWentOn());
  }

  #takeNext(may?: (givesWay: boolean) => boolean): (() => Promise<Stop>) | 'others' | 'none' {
    let begin: (() => Promise<Stop>) | undefined;
    const taken = this.next.take(
      this.#index,
      ({ words, pc, bases: [arena] }) => {
        begin = () => this.#begin(words, pc, arena, []);
      },
      may,
    );
    return taken === 'own' ? (begin as () => Promise<Stop>) : taken;
  }

  #tellWentOn(): void {
    if (this.untold !== undefined) this.onWentOn();
    this.untold = undefined;
  }

  /** The thread may end before it is heard that it had gone on: then what is waited for is the stop of the run before. */
  #lose(reject: (reason: Error) => void, reason: Error): void {
    if (this.untold === undefined) reject(reason);
    else {
      this.untold = undefined;
      this.#going = Promise.reject(reason);
      this.#going.catch(() => {});
      this.#abandoned(reason);
    }
  }

  #begin(words: number, pc: number, arena: number, helpers: readonly VirtualCore[]): Promise<Stop> {
    const { time, memory, random, courseOf, arenas, batchRuns, handOverShare } = this.#machine;
    for (const core of [this, ...helpers]) {
      assert.ok(core.current === undefined && !core.helps, 'a core is given two runs');
      assert.ok(core.isReady, 'a core is given a run before it is ready');
    }
    const count = batchRuns?.get(words) ?? 1;
    const numbers = Array.from(
      { length: count },
      (_, slot) => new Float32Array(memory.memory.buffer, arena + slot * RUN_BYTES, 1),
    );
    const ids = numbers.map(([id]) => id as number);
    if (pc === 0) arenas.set(arena, { ids, doneMs: 0, pc });
    const progress = arenas.get(arena) as Progress;
    assert.equal([progress?.ids, progress?.pc], [ids, pc], `runs ${ids} go on at ${pc}`);
    this.current = ids;
    this.helpers = helpers.length;
    for (const helper of helpers) helper.helps = true;
    const courses = ids.map(courseOf);
    const [{ end }] = courses as [Course];
    const needMs = courses.reduce((sum, each) => sum + each.needMs, 0) * (count === 1 ? 1 : BATCH_SHARE);
    const speed = 1 + helpers.length * FURTHER_CORE;
    const startedMs = time.nowMs();
    const { promise, resolve, reject } = Promise.withResolvers<Stop>();
    const stop = (given?: () => Promise<Stop>): void => {
      if (this.#stop !== stop) return;
      this.#stop = this.#look = this.current = undefined;
      for (const helper of helpers) helper.helps = false;
      const endedMs = time.nowMs();
      progress.doneMs += (endedMs - startedMs) * speed;
      const isOver = progress.doneMs >= needMs - 1e-6;
      if (isOver && end === 'lost') {
        this.#lose(reject, new Error('drawn by lot'));
        return;
      }
      progress.pc = isOver ? 0 : progress.pc + 1;
      // The output is the input doubled, in its place.
      if (isOver) for (const [slot, number] of numbers.entries()) number[0] = 2 * (ids[slot] as number);
      const result = !isOver ? progress.pc : end === 'fault' ? FAULT : -1;
      const halt = { result, faultWord: 0, startedMs, endedMs };
      // Messages of a thread come in order.
      this.#tellWentOn();
      const next = given ?? (random.next() < handOverShare ? this.#takeNext() : 'none');
      if (typeof next === 'function') {
        this.#goOnWith(next, ids, halt);
        this.#abandoned = reject;
      } else resolve(halt);
    };
    /** As core-worker.ts does it. */
    const look = (): void => {
      if (this.#look !== look || !this.#asked) return;
      const { asked, run } = this.#asked;
      if (asked === 'stop') stop();
      else {
        const next = this.#takeNext((givesWay) => asked === 'make way' || givesWay);
        if (typeof next === 'function') stop(next);
        else if (asked === 'make way' && (next === 'none' || this.next.run !== run)) stop();
        else this.#answer();
      }
    };
    this.#stop = stop;
    this.#look = look;
    time.after((needMs - progress.doneMs) / speed, () => stop());
    return promise;
  }
}

/** As the dispatcher takes them. */
export function processorsOf(cores: readonly VirtualCore[]): { first: Core; cores: readonly Core[] } {
  return { first: cores[0] as unknown as Core, cores: cores as unknown as readonly Core[] };
}
