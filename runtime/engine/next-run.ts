/**
 * The run that is given to the core that stops first, in shared memory: the core goes on with it by itself, without a way through the
 * thread that decides, which may wait for a processor itself. While that one decides, a core that stops waits for a moment.
 */
import { nowMs } from './core-messages.ts';

/** Lies before the blocks of the cores: see CoreBlock. */
export const NEXT_RUN_BYTES = 64;

// Words. State: what it is, and above it the number of the offer or of the core.
const STATE = 0;
const OFFERS = 1;
/** Then the word to begin at, the three bases, and the lanes. */
const WORDS = 2;
const SEGMENT_WORDS = 6;
/** The number of the run, and which cores may be set aside for it: a bit each. */
const RUN = 8;
const GIVING_WAY = 9;

const EMPTY = 0;
/** It is being decided. */
const CLOSED = 1;
const OFFERED = 2;
const TAKEN = 3;
const KIND_BITS = 2;
const KIND_MASK = 2 ** KIND_BITS - 1;
const OFFERS_MAX = 2 ** 28;

/** A decision takes 0.1 to 0.4 ms, with the inputs of a large run, and to sleep and wake up again as much. */
const SPIN_MS = 0.5;
const WAIT_MS = 2;

export interface NextSegment {
  readonly words: number;
  readonly pc: number;
  /** Base pointers: arena, weights, tables. */
  readonly bases: readonly [number, number, number];
  /** Where several cores noted how far they are: 0 when one alone has had the run. */
  readonly lanes: number;
}

export class NextRun {
  readonly #words: Int32Array;

  /** `blocks`: where the block of core 0 lies. */
  constructor(memory: WebAssembly.Memory, blocks: number) {
    this.#words = new Int32Array(memory.buffer, blocks - NEXT_RUN_BYTES, NEXT_RUN_BYTES / 4);
  }

  /** Nobody takes anything until it is opened again. The core that took what was on offer, once. */
  close(): number | undefined {
    const state = Atomics.exchange(this.#words, STATE, CLOSED);
    return (state & KIND_MASK) === TAKEN ? state >>> KIND_BITS : undefined;
  }

  /** Offers a run, or says that there is none. @param givingWay cores whose own runs may be set aside for it, though they were not told to stop */
  open(offer?: { readonly run: number; readonly segment: NextSegment; readonly givingWay: readonly number[] }): void {
    if (offer) {
      const { run, segment, givingWay } = offer;
      const offers = ((this.#words[OFFERS] as number) + 1) % OFFERS_MAX;
      const cores = givingWay.reduce((bits, core) => bits | (1 << core), 0);
      this.#words.set([offers, segment.words, segment.pc, ...segment.bases, segment.lanes, run, cores], OFFERS);
      Atomics.store(this.#words, STATE, (offers << KIND_BITS) | OFFERED);
    } else Atomics.store(this.#words, STATE, EMPTY);
    Atomics.notify(this.#words, STATE);
  }

  /** Which run is on offer, or was taken last. */
  get run(): number {
    return this.#words[RUN] as number;
  }

  /** Of an offer: no core has taken it yet. */
  get isOpen(): boolean {
    return (Atomics.load(this.#words, STATE) & KIND_MASK) === OFFERED;
  }

  /**
   * For a core that has stopped: whether it has the run on offer, another core has what was on offer, or there is nothing. `prepare` is given the
   * run before, more than once when it changes meanwhile; what another thread may see of that counts only when the core has it.
   * @param may whether the core may have what is on offer now; `givesWay`: its own run may be set aside for that. Where not, it is others'
   */
  take(
    core: number,
    prepare: (segment: NextSegment) => void,
    may = (_givesWay: boolean) => true,
  ): 'own' | 'others' | 'none' {
    for (;;) {
      const state = Atomics.load(this.#words, STATE);
      const kind = state & KIND_MASK;
      if (kind === EMPTY) return 'none';
      if (kind === TAKEN) return 'others';
      if (kind === OFFERED) {
        if (!may((((this.#words[GIVING_WAY] as number) >> core) & 1) === 1)) return 'others';
        prepare(this.#segment());
        // The number of the offer tells whether all that was read belongs together.
        if (Atomics.compareExchange(this.#words, STATE, state, (core << KIND_BITS) | TAKEN) === state) return 'own';
      } else if (!this.#awaitDecision()) return 'none';
    }
  }

  #segment(): NextSegment {
    const own = this.#words.subarray(WORDS, WORDS + SEGMENT_WORDS);
    const [words = 0, pc = 0, arena = 0, weights = 0, tables = 0, lanes = 0] = new Uint32Array(own);
    return { words, pc, bases: [arena, weights, tables], lanes };
  }

  #awaitDecision(): boolean {
    const until = nowMs() + SPIN_MS;
    do if (Atomics.load(this.#words, STATE) !== CLOSED) return true;
    while (nowMs() < until);
    return Atomics.wait(this.#words, STATE, CLOSED, WAIT_MS) !== 'timed-out';
  }
}
