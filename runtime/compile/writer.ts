/** Flat instruction words and program tables, as they grow. */
import { strict as assert } from 'node:assert';
import { type Address, address, NO_ADDRESS, SPACE_TABLES } from './instructions.ts';

import { WORDS_MAX } from './limits.ts';
import { UnsupportedError } from './program.ts';

const OPERANDS_MAX = 0xffffff;
const TABLE_ALIGNMENT = 16;

const floats = new Float32Array(1);
const bits = new Uint32Array(floats.buffer);

/** The word that holds a float32. */
export function floatWord(value: number): number {
  floats[0] = value;
  return bits[0] as number;
}

export class Writer {
  readonly #words: number[] = [];
  readonly #tables: Uint8Array[] = [];
  readonly #origins: { word: number; node: string }[] = [];
  #tableBytes = 0;

  /** Returns the word at which the node's instructions begin. */
  begin(node: string): number {
    const last = this.#origins.at(-1);
    if (last?.word === this.#words.length) this.#origins.pop();
    this.#origins.push({ word: this.#words.length, node });
    return this.#words.length;
  }

  /** Operands are unsigned or signed 32-bit integers, or words from `floatWord`. */
  emit(opcode: number, operands: readonly number[]): void {
    assert(operands.length < OPERANDS_MAX, `instruction ${opcode} has ${operands.length} operands`);
    for (const operand of operands)
      assert(
        Number.isInteger(operand) && operand >= -0x80000000 && operand <= 0xffffffff,
        `instruction ${opcode}: operand ${operand} is no 32-bit integer`,
      );
    if (this.#words.length + operands.length >= WORDS_MAX)
      throw new UnsupportedError(`a program of more than ${WORDS_MAX} instruction words is not supported`);
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

  finish(end: number): { words: Uint32Array; tables: Uint8Array; origins: { word: number; node: string }[] } {
    this.#words.push(end | (1 << 8));
    const tables = new Uint8Array(this.#tableBytes);
    let offset = 0;
    for (const table of this.#tables) {
      tables.set(table, offset);
      offset += table.length;
    }
    return { words: Uint32Array.from(this.#words), tables, origins: this.#origins };
  }
}

const OFFSET_MAX = 0x3fffffff;

/** The address `elements` float32 (or `bytes` when given a size) behind another. Only kernels' inner addresses need not be multiples of 16. */
export function behind(base: Address, elements: number, elementBytes = 4): Address {
  if (base === NO_ADDRESS) return base;
  const offset = (base & OFFSET_MAX) + elements * elementBytes;
  assert(offset >= 0 && offset <= OFFSET_MAX, `address ${base} + ${elements * elementBytes} bytes leaves its space`);
  return ((base & ~OFFSET_MAX) | offset) >>> 0;
}

/** Calls `part(begin, end)` for consecutive ranges of at most `size` (at least one) of `count`. */
export function inParts(count: number, size: number, part: (begin: number, end: number) => void): void {
  assert(Number.isInteger(count) && count >= 0, `count ${count} is no size`);
  const step = Math.max(1, Math.floor(size));
  for (let begin = 0; begin < count; begin += step) part(begin, Math.min(begin + step, count));
}

/** Matrices of a batch lie one behind the other, so they begin at any float. */
export function checkMatrices(...addresses: (Address | undefined)[]): void {
  for (const each of addresses)
    assert(each === undefined || each === NO_ADDRESS || each % 4 === 0, `address ${each} is no multiple of 4`);
}

export function checkAligned(...addresses: (Address | undefined)[]): void {
  for (const each of addresses)
    assert(each === undefined || each === NO_ADDRESS || each % 16 === 0, `address ${each} is no multiple of 16`);
}

// The bounds of one instruction, for a quarter of a millisecond on a weak core: 20 GFLOP/s in matrix work, 4 G taps/s in depthwise
// and pooling windows, and a few nanoseconds an element where functions are evaluated or indices computed.
export const FLOPS_MAX = 5_000_000;
export const TAPS_MAX = 1_000_000;
export const ELEMENTS_MAX = 65_536;
