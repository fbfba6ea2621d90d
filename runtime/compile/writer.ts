/** Flat instruction words and program tables, as they grow. */
import { strict as assert } from 'node:assert';
import { FORK, LEAD } from '../../assembly/opcodes.ts';
import { type Address, address, NO_ADDRESS, SPACE_LANE, SPACE_TABLES } from './instructions.ts';

import { WORDS_MAX } from './limits.ts';
import type { Scratch } from './plan.ts';
import { type Program, UnsupportedError } from './program.ts';

const OPERANDS_MAX = 0xffffff;
const TABLE_ALIGNMENT = 16;

const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

/** The word that holds a float32. */
export function floatWord(value: number): number {
  floats[0] = value;
  return bits[0] as number;
}

/** Instruction words and what belongs to them: see Program. */
export type Assembled = Pick<Program, 'words' | 'tables' | 'origins' | 'laneBytes'>;

/** Instructions that several cores may share: see `inParts`. */
interface Section {
  /** Words at which chunks begin. */
  readonly chunks: number[];
  /** How far chunks are being cut; inside of one they are not. */
  depth: number;
}

/** More than their numbers have room for (assembly/sharing.ts) are left to one core. */
const CHUNKS_MAX = 0xffff;

/** Words of the FORK before so many chunks. */
function headLength(chunks: number): number {
  return chunks + 4;
}

function isSection(chunks: number): boolean {
  return chunks >= 2 && chunks <= CHUNKS_MAX;
}

export class Writer {
  readonly #words: number[] = [];
  readonly #tables: Uint8Array[] = [];
  readonly #origins: { word: number; node: string }[] = [];
  #tableBytes = 0;
  #section: Section | undefined;
  /** The node's scratch memory in the arena. */
  #scratch: Scratch = { offset: 0, bytes: 0 };
  #laneBytes = 0;

  /** Returns the word at which the node's instructions begin. The node's scratch memory is what `lane` may be asked for. */
  begin(node: string, scratch: Scratch = { offset: 0, bytes: 0 }): number {
    this.#scratch = scratch;
    const last = this.#origins.at(-1);
    if (last?.word === this.#words.length) this.#origins.pop();
    this.#origins.push({ word: this.#words.length, node });
    return this.#words.length;
  }

  /**
   * Calls `part(begin, end)` for consecutive ranges of at most `size` (at least one) of `count`; with `multiple` of sizes alike, and all begin
   * at such a multiple. No instruction of any part may read what another one writes: cores may execute them at the same time, in any order.
   */
  inParts(count: number, size: number, part: (begin: number, end: number) => void, multiple?: number): void {
    assert(Number.isInteger(count) && count >= 0, `count ${count} is no size`);
    const isShared = this.#section === undefined || this.#section.depth === 0;
    this.#share(() => {
      if (multiple === undefined) inParts(count, size, part);
      else inPartsAlike(partsOf(count, size, multiple, isShared), count, multiple, part);
    });
  }

  /** As `inParts`, but cut finer where there are so few parts that cores would wait for each other. */
  inShares(count: number, size: number, multiple: number, part: (begin: number, end: number) => void): void {
    this.inParts(count, forCores(count, size), part, multiple);
  }

  /** Elements that one operation does alike, at most so many an instruction. */
  inElements(count: number, part: (begin: number, end: number) => void, most = ELEMENTS_MAX): void {
    this.inShares(count, most, LINE, part);
  }

  /** As `inParts`, but the instructions of a part are executed in their order, by one core, which has scratch memory of its own: see `lane`. */
  inChunks(count: number, size: number, multiple: number, part: (begin: number, end: number) => void): void {
    const chunks = partsOf(count, size, multiple, this.#section === undefined);
    this.#share(
      () =>
        inPartsAlike(chunks, count, multiple, (begin, end) => {
          const section = this.#section as Section;
          if (section.depth === 0) section.chunks.push(this.#words.length);
          section.depth++;
          part(begin, end);
          section.depth--;
        }),
      isSection(chunks) ? headLength(chunks) : 0,
    );
  }

  /** At the begin of a chunk: what a core need not execute that has executed the chunk before, in the same scratch memory. */
  lead(emit: () => void): void {
    const word = this.#words.length;
    this.#words.push(LEAD);
    emit();
    this.#words[word] = (LEAD | ((this.#words.length - word) << 8)) >>> 0;
  }

  /** An address in the node's scratch memory → the same in that of the core which executes the instruction. */
  lane(scratch: Address): Address {
    this.#laneBytes = Math.max(this.#laneBytes, this.#scratch.bytes);
    return scratch === NO_ADDRESS ? scratch : address(SPACE_LANE, scratch & OFFSET_MAX);
  }

  /**
   * Cuts what `emit` writes into chunks, unless that is part of a section already. Where several nodes are in one section, room is made for
   * its head beforehand, as their words are known to others.
   */
  #share(emit: () => void, reserved = 0): void {
    if (this.#section) {
      emit();
      return;
    }
    const word = this.#words.length;
    const section: Section = { chunks: [], depth: 0 };
    this.#section = section;
    for (let i = 0; i < reserved; i++) this.#words.push(0);
    emit();
    this.#section = undefined;
    const { chunks } = section;
    if (!isSection(chunks.length)) return;
    const length = headLength(chunks.length);
    const missing = length - reserved;
    const places = [...chunks, this.#words.length].map((chunk) => chunk - word + missing);
    const head = [(FORK | (length << 8)) >>> 0, this.#scratch.offset, chunks.length];
    this.#words.splice(word, reserved, ...head, ...places);
  }

  /** Operands are unsigned or signed 32-bit integers, or words from `floatWord`. */
  emit(opcode: number, operands: readonly number[]): void {
    // What is wrong is put into words only where it is: a program may have a hundred thousand operands.
    if (operands.length >= OPERANDS_MAX) assert.fail(`instruction ${opcode} has ${operands.length} operands`);
    for (const operand of operands)
      if (!isWord(operand)) assert.fail(`instruction ${opcode}: operand ${operand} is no 32-bit integer`);
    if (this.#words.length + operands.length >= WORDS_MAX)
      throw new UnsupportedError(`a program of more than ${WORDS_MAX} instruction words is not supported`);
    if (this.#section?.depth === 0) this.#section.chunks.push(this.#words.length);
    this.#words.push((opcode | ((operands.length + 1) << 8)) >>> 0);
    for (const operand of operands) this.#words.push(operand >>> 0);
  }

  table(view: ArrayBufferView): Address {
    const offset = this.#tableBytes;
    const bytes = new Uint8Array(Math.ceil(view.byteLength / TABLE_ALIGNMENT) * TABLE_ALIGNMENT);
    bytes.set(new Uint8Array(view.buffer, view.byteOffset, view.byteLength));
    this.#tables.push(bytes);
    this.#tableBytes += bytes.length;
    return address(SPACE_TABLES, offset);
  }

  finish(end: number): Assembled {
    this.#words.push(end | (1 << 8));
    const tables = new Uint8Array(this.#tableBytes);
    let offset = 0;
    for (const table of this.#tables) {
      tables.set(table, offset);
      offset += table.length;
    }
    return { words: Uint32Array.from(this.#words), tables, origins: this.#origins, laneBytes: this.#laneBytes };
  }
}

const OFFSET_MAX = 0x3fffffff;

function isWord(operand: number): boolean {
  return Number.isInteger(operand) && operand >= -0x80000000 && operand <= 0xffffffff;
}

/** The address `elements` float32 (or `bytes` when given a size) behind another. Only kernels' inner addresses need not be multiples of 16. */
export function behind(base: Address, elements: number, elementBytes = 4): Address {
  if (base === NO_ADDRESS) return base;
  const offset = (base & OFFSET_MAX) + elements * elementBytes;
  if (offset < 0 || offset > OFFSET_MAX)
    assert.fail(`address ${base} + ${elements * elementBytes} bytes leaves its space`);
  return ((base & ~OFFSET_MAX) | offset) >>> 0;
}

/** From so many parts on one more or less makes little difference. */
const PARTS_MANY = 16;

/** As few parts as need be; those that cores share are an even number, so that two cores end together. */
function partsOf(count: number, size: number, multiple: number, isShared: boolean): number {
  const units = Math.ceil(count / multiple);
  const parts = Math.ceil(units / Math.max(1, Math.floor(size / multiple)));
  const isOdd = isShared && parts > 1 && parts < PARTS_MANY && parts % 2 === 1;
  return isOdd && parts < units ? parts + 1 : parts;
}

/** Calls `part(begin, end)` for so many consecutive ranges of `count`, alike but for one multiple. */
function inPartsAlike(
  parts: number,
  count: number,
  multiple: number,
  part: (begin: number, end: number) => void,
): void {
  const units = Math.ceil(count / multiple);
  const place = (index: number): number => Math.min(count, Math.floor((units * index) / parts) * multiple);
  for (let index = 0; index < parts; index++) part(place(index), place(index + 1));
}

/** Calls `part(begin, end)` for consecutive ranges of at most `size` (at least one) of `count`. */
export function inParts(count: number, size: number, part: (begin: number, end: number) => void): void {
  assert(Number.isInteger(count) && count >= 0, `count ${count} is no size`);
  const step = Math.max(1, Math.floor(size));
  for (let begin = 0; begin < count; begin += step) part(begin, Math.min(begin + step, count));
}

/** Matrices of a batch lie one behind the other, so they begin at any float. */
export function checkMatrices(...addresses: (Address | undefined)[]): void {
  checkMultiples(addresses, 4);
}

export function checkAligned(...addresses: (Address | undefined)[]): void {
  checkMultiples(addresses, 16);
}

function checkMultiples(addresses: readonly (Address | undefined)[], size: number): void {
  for (const each of addresses)
    if (each !== undefined && each !== NO_ADDRESS && each % size !== 0)
      assert.fail(`address ${each} is no multiple of ${size}`);
}

// The bounds of one instruction, for a quarter of a millisecond on a weak core: 20 GFLOP/s in matrix work, 4 G taps/s in depthwise
// and pooling windows, and a few nanoseconds an element where functions are evaluated or indices computed.
export const FLOPS_MAX = 5_000_000;
export const TAPS_MAX = 1_000_000;
export const ELEMENTS_MAX = 65_536;
/** Elements of a cache line, whatever their type: parts that begin at such multiples do not share one. */
export const LINE = 64;

/**
 * Size of parts, or of chunks, where one of `size` takes as long as an instruction may: smaller when there are so few that cores would wait
 * for each other, but none so short that sharing it costs more than it brings.
 */
export function forCores(count: number, size: number): number {
  return Math.min(size, Math.max(size / 8, count / 4));
}
