/** A small host for the kernels: memory, regions for runs, and trials that lay out tensors with guards around them. */
import { Assembler } from '../../runtime/compile/assembler.ts';
import { type Address, address, SPACE_ARENA, SPACE_WEIGHTS } from '../../runtime/compile/instructions.ts';
import type { ByteDot } from '../../runtime/compile/traits.ts';
import { type KernelBuild, type Kernels, loadKernels } from '../../runtime/engine/kernels.ts';
import { arrayOf, type DataType, elementBytes, type TypedArray } from '../../runtime/engine/tensor.ts';
import { Random } from '../random.ts';

const MEBIBYTE = 1 << 20;
const ARENA_BYTES = 24 * MEBIBYTE;
const WORDS_BYTES = 4 * MEBIBYTE;
const GUARD_BYTES = 64;
const GUARD = 0xa5;
/** What an output holds before the run: a value that no kernel would leave by chance. */
const UNWRITTEN = 0x5a;

/** Room for one run: its program, bases, flag, arena, weights. */
export interface Region {
  readonly words: number;
  readonly bases: number;
  readonly flag: number;
  readonly arena: number;
  readonly weights: number;
}

export class Machine {
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
  /** What the build takes bytes for that it multiplies; the plain one can do so, slowly, on every machine. */
  readonly byteDot: ByteDot | undefined;
  readonly regions: readonly Region[];

  constructor(build: KernelBuild) {
    this.memory = new WebAssembly.Memory({ initial: 2048, maximum: 2048, shared: true });
    this.kernels = loadKernels(this.memory, { build });
    this.byteDot = build === 'plain' ? 'unsigned' : this.kernels.traits.byteDot;
    const first = Math.ceil(this.kernels.heapBase / MEBIBYTE) * MEBIBYTE;
    this.regions = [0, 1].map((index) => {
      const at = first + index * (2 * ARENA_BYTES + WORDS_BYTES + MEBIBYTE);
      const region = { bases: at, flag: at + 64, words: at + MEBIBYTE, arena: at + MEBIBYTE + WORDS_BYTES };
      return { ...region, weights: region.arena + ARENA_BYTES };
    });
    for (const { bases, arena, weights } of this.regions)
      new Uint32Array(this.memory.buffer, bases, 3).set([arena, weights, 0]);
  }

  execute(region: Region, pc = 0): number {
    return this.kernels.execute(region.words, pc, region.bases, region.flag);
  }
}

export interface Expected {
  readonly address: Address;
  readonly values: ArrayLike<number | bigint>;
  readonly type: DataType;
}

/** One program with its data in one region of a machine. */
export class Trial {
  readonly assembler: Assembler;
  readonly byteDot: ByteDot | undefined;
  readonly expected: Expected[] = [];
  readonly #machine: Machine;
  readonly #region: Region;
  readonly #kept: { at: number; bytes: Uint8Array }[] = [];
  readonly #used = { arena: GUARD_BYTES, weights: GUARD_BYTES };
  readonly #random: Random;

  constructor(machine: Machine, region: Region, seed: number) {
    this.#machine = machine;
    this.#region = region;
    this.#random = new Random(seed);
    this.byteDot = machine.byteDot;
    this.assembler = new Assembler(machine.kernels.traits);
  }

  /** A number in [low, high). */
  random(low = -1, high = 1): number {
    return low + this.#random.next() * (high - low);
  }

  floats(count: number, low = -1, high = 1): Float32Array {
    return Float32Array.from({ length: count }, () => this.random(low, high));
  }

  #reserve(space: 'arena' | 'weights', byteLength: number, fill: number): number {
    const at = this.#region[space] + this.#used[space];
    const bytes = new Uint8Array(this.#machine.memory.buffer);
    const end = at + Math.ceil(byteLength / 16) * 16 + GUARD_BYTES;
    bytes.fill(GUARD, at - GUARD_BYTES, end);
    bytes.fill(fill, at, at + byteLength);
    this.#used[space] = end - this.#region[space];
    if (this.#used[space] > ARENA_BYTES) throw new Error('the trial is larger than its region');
    return at;
  }

  #place(space: 'arena' | 'weights', values: TypedArray): number {
    const at = this.#reserve(space, values.byteLength, 0);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    new Uint8Array(this.#machine.memory.buffer).set(bytes, at);
    return at;
  }

  /** An input in the arena, or (`weights`) a constant; the run must leave it as it is. */
  input(values: TypedArray, space: 'arena' | 'weights' = 'arena'): Address {
    const at = this.#place(space, values);
    this.#kept.push({ at, bytes: new Uint8Array(this.#machine.memory.buffer).slice(at, at + values.byteLength) });
    return address(space === 'arena' ? SPACE_ARENA : SPACE_WEIGHTS, at - this.#region[space]);
  }

  scratch(bytes: number): Address {
    return address(SPACE_ARENA, this.#reserve('arena', bytes, UNWRITTEN) - this.#region.arena);
  }

  output(values: ArrayLike<number | bigint>, type: Expected['type'] = 'float32'): Address {
    const at = this.#reserve('arena', values.length * elementBytes(type), UNWRITTEN);
    const result = address(SPACE_ARENA, at - this.#region.arena);
    this.expected.push({ address: result, values, type });
    return result;
  }

  /** A tensor that the run reads and overwrites. */
  inPlace(before: Float32Array, after: ArrayLike<number>): Address {
    const result = address(SPACE_ARENA, this.#place('arena', before) - this.#region.arena);
    this.expected.push({ address: result, values: after, type: 'float32' });
    return result;
  }

  /** Loads the program into the region. Returns its number of words. */
  load(): number {
    const { words } = this.assembler.finish();
    if (words.byteLength > WORDS_BYTES) throw new Error('the program is larger than its region');
    new Uint32Array(this.#machine.memory.buffer, this.#region.words, words.length).set(words);
    return words.length;
  }

  actual(expected: Expected): TypedArray {
    const at = this.#region.arena + expected.address;
    const array = arrayOf(expected.type);
    return new array(this.#machine.memory.buffer as ArrayBuffer, at, expected.values.length).slice();
  }

  /** Bytes of arena and weights that are used: with it two runs can be compared bit by bit. */
  snapshot(): Uint8Array {
    return new Uint8Array(this.#machine.memory.buffer).slice(this.#region.arena, this.#region.arena + this.#used.arena);
  }

  restore(snapshot: Uint8Array): void {
    new Uint8Array(this.#machine.memory.buffer).set(snapshot, this.#region.arena);
  }

  /** Says where the run wrote that it should not have. */
  damage(): string | undefined {
    const bytes = new Uint8Array(this.#machine.memory.buffer);
    for (const { at, bytes: before } of this.#kept)
      if (before.some((byte, i) => bytes[at + i] !== byte)) return 'an input was overwritten';
    for (const { address: at, values, type } of this.expected) {
      const begin = this.#region.arena + at;
      const end = begin + values.length * elementBytes(type);
      const guards = [...bytes.subarray(begin - GUARD_BYTES, begin), ...bytes.subarray(end, end + GUARD_BYTES)];
      if (guards.some((byte) => byte !== GUARD)) return 'bytes beside an output were overwritten';
    }
    return undefined;
  }
}
