/**
 * What the cores and the engine tell each other in shared memory: a block for each core. First its board, which other cores read that help
 * it (assembly/sharing.ts, Board); then the bell that wakes its thread, the order that it is to carry out, and how a run stopped after
 * which it went on by itself. Before all blocks lies the run that it then goes on with (next-run.ts).
 */
import type { Stop } from './core-messages.ts';
import type { EngineMemory } from './memory.ts';
import { NEXT_RUN_BYTES, type NextSegment } from './next-run.ts';

/** assembly/sharing.ts, LANES_MAX. */
export const CORES_MAX = 16;
const BLOCK_BYTES = 1088;

// Byte offsets; up to BELL those of assembly/sharing.ts.
/** What the core is asked to do after its present instruction: 0 nothing, else what (`Asked`), and above it a count that tells askings apart. */
const FLAG = 0;
const HELPER_COUNT = 4;
const BASES = 16;
const LANES = 28;
const HELPERS = 960;
const BELL = 1024;
const ORDER = 1032;
const WORDS = 1036;
const PC = 1040;
const RESULT = 1044;
const FAULT_WORD = 1048;
const ASKED_FOR = 1052;
/** Three times, in milliseconds. */
const TIMES = 1056;

/** Runs, in memory of their own, note here where helpers stand; the lanes of helpers follow. */
const LANES_HEAD_BYTES = 256;
const LANE_BYTES_AT = 4;

const ASKED_BITS = 2;

/** An order is the number of the core whose run is to be computed, its own or another's, with a count above that tells orders apart. */
const CORE_BITS = 8;
const COUNT_MAX = 2 ** 22;

/**
 * To stop. To make way for a run: to stop too, but to go on when another core has that run first. To give way: to go on, unless the core's own run
 * may be set aside for what is on offer.
 */
const ASKED = ['nothing', 'stop', 'give way', 'make way'] as const;
type Asked = (typeof ASKED)[number];

export class CoreBlock {
  readonly index: number;
  readonly #first: number;
  readonly #words: Int32Array;
  readonly #times: Float64Array;
  #askings = 0;

  /** `first`: where the block of core 0 lies. */
  constructor(memory: WebAssembly.Memory, first: number, index: number) {
    this.index = index;
    this.#first = first;
    // Memory that grows stays where it is, and so does this view of it.
    const own = first + index * BLOCK_BYTES;
    this.#words = new Int32Array(memory.buffer, own, BLOCK_BYTES / 4);
    this.#times = new Float64Array(memory.buffer, own + TIMES, 3);
  }

  static allocate(memory: EngineMemory, count: number): number {
    const bytes = NEXT_RUN_BYTES + count * BLOCK_BYTES;
    const start = memory.allocate(bytes, 'the cores');
    memory.bytes(start, bytes).fill(0);
    return start + NEXT_RUN_BYTES;
  }

  /** The board, of this core or of another one. */
  board(index = this.index): number {
    return this.#first + index * BLOCK_BYTES;
  }

  get flag(): number {
    return this.board() + FLAG;
  }

  get bases(): number {
    return this.board() + BASES;
  }

  get bell(): number {
    return this.board() + BELL;
  }

  get isShared(): boolean {
    return this.#get(LANES) !== 0;
  }

  setFlag(value: 0 | 1): void {
    Atomics.store(this.#words, FLAG >> 2, value);
  }

  /** @param run the run for which it is to make way */
  ask(asked: Exclude<Asked, 'nothing'>, run = 0): void {
    if (asked === 'make way') this.#set(ASKED_FOR, run);
    const value = ((++this.#askings % COUNT_MAX) << ASKED_BITS) | ASKED.indexOf(asked);
    // Who is to stop need not be told that another one might.
    if (asked === 'give way') Atomics.compareExchange(this.#words, FLAG >> 2, 0, value);
    else Atomics.store(this.#words, FLAG >> 2, value);
  }

  /** Another core has the run for which this one was to make way. */
  letGoOn(): void {
    const { asking } = this;
    if (this.asked(asking) === 'make way') this.answered(asking);
  }

  /** What it is asked at present. */
  get asking(): number {
    return this.#get(FLAG);
  }

  /** With `make way`. */
  get askedFor(): number {
    return Atomics.load(this.#words, ASKED_FOR >> 2);
  }

  asked(asking: number): Asked {
    return ASKED[asking & (2 ** ASKED_BITS - 1)] as Asked;
  }

  /** False when it was asked for something else meanwhile. */
  answered(asking: number): boolean {
    return Atomics.compareExchange(this.#words, FLAG >> 2, asking | 0, 0) >>> 0 === asking;
  }

  /** For the run that this core is to be given: where its lanes lie (0 for none), and who helps. */
  setHelpers(lanes: number, helpers: readonly CoreBlock[]): void {
    this.#set(LANES, lanes);
    this.#set(HELPER_COUNT, helpers.length);
    helpers.forEach((helper, i) => {
      this.#set(HELPERS + 4 * i, helper.bell);
    });
  }

  /** Where the program of its own run lies, and the word to begin at. */
  get segment(): { words: number; pc: number } {
    return { words: this.#get(WORDS), pc: this.#get(PC) };
  }

  setSegment(words: number, pc: number): void {
    this.#set(WORDS, words);
    this.#set(PC, pc);
  }

  /** The run of its own, when no other core helps. */
  get alone(): NextSegment {
    const [arena, weights, tables] = [0, 4, 8].map((offset) => this.#get(BASES + offset)) as [number, number, number];
    return { ...this.segment, bases: [arena, weights, tables], lanes: this.#get(LANES) };
  }

  /** The thread goes on with this run, alone. */
  set alone({ words, pc, bases, lanes }: NextSegment) {
    this.setSegment(words, pc);
    bases.forEach((base, i) => {
      this.#set(BASES + 4 * i, base);
    });
    this.setHelpers(lanes, []);
  }

  /** How the run stopped after which the thread went on, and when it did. No trap: after one it does not. */
  get left(): { readonly stop: Stop; readonly atMs: number } {
    const [startedMs = 0, endedMs = 0, atMs = 0] = this.#times;
    const result = Atomics.load(this.#words, RESULT >> 2);
    return { stop: { result, faultWord: this.#get(FAULT_WORD), startedMs, endedMs }, atMs };
  }

  setLeft({ result, faultWord, startedMs, endedMs }: Stop, atMs: number): void {
    this.#set(RESULT, result);
    this.#set(FAULT_WORD, faultWord);
    this.#times.set([startedMs, endedMs, atMs]);
  }

  /** Tells the thread to compute the run of core `index`. */
  order(index: number): void {
    const last = this.#get(ORDER);
    Atomics.store(this.#words, ORDER >> 2, ((((last >>> CORE_BITS) % COUNT_MAX) + 1) << CORE_BITS) | index);
    Atomics.add(this.#words, BELL >> 2, 1);
    Atomics.notify(this.#words, BELL >> 2);
  }

  /** Takes orders back that no thread will carry out any more. */
  reset(): void {
    Atomics.store(this.#words, ORDER >> 2, 0);
  }

  /** The order, 0 before the first one, and whose run it is about. */
  get ordered(): { order: number; index: number } {
    const order = Atomics.load(this.#words, ORDER >> 2);
    return { order, index: order & ((1 << CORE_BITS) - 1) };
  }

  get rings(): number {
    return Atomics.load(this.#words, BELL >> 2);
  }

  /** Blocks the thread until the bell has rung since it had this value. */
  sleep(rings: number): void {
    Atomics.wait(this.#words, BELL >> 2, rings);
  }

  /** The lane of this core in a run of core `owner`. */
  laneIn(owner: number): number {
    return this.index < owner ? this.index + 1 : this.index;
  }

  #get(offset: number): number {
    return Atomics.load(this.#words, offset >> 2) >>> 0;
  }

  #set(offset: number, value: number): void {
    Atomics.store(this.#words, offset >> 2, value);
  }
}

/** Bytes that the lanes of a run take when `cores` may compute it; `laneBytes` is a multiple of 64. */
export function lanesBytes(cores: number, laneBytes: number): number {
  return LANES_HEAD_BYTES + (cores - 1) * laneBytes;
}

/** A run that begins has no chunks that are half done. */
export function clearLanes(memory: Pick<EngineMemory, 'words'>, lanes: number, laneBytes: number): void {
  memory.words(lanes, LANES_HEAD_BYTES / 4).fill(0)[LANE_BYTES_AT / 4] = laneBytes;
}
