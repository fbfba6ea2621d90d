/**
 * Compiled programs kept on disk with their packed weights, so that a model that was run here before starts without being
 * read, compiled and packed. What is kept can always be made again: whatever is wrong with a file, it counts as absent.
 *
 * A file: the length of the head and of the front (u32 each), the front (the head in JSON, instruction words, tables), weights, and a
 * CRC-32 of all that. Weights are read to where they will be used: memory that was never touched before is what costs at a start.
 */
import { closeSync, fstatSync, openSync, promises, readdirSync, readSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Program } from '../compile/program.ts';
import { type KernelTraits, traitsName } from '../compile/traits.ts';
import type { ByteSource } from '../onnx/byte-source.ts';
import { MemoryLimitError } from './memory.ts';
import type { ValueDescription } from './tensor.ts';

/** A program that is all of a model for inputs of these shapes. */
export interface WholeProgram {
  readonly program: Program;
  readonly weights: Uint8Array;
  readonly inputs: readonly ValueDescription[];
  readonly outputs: readonly ValueDescription[];
  /** By the name of the input. */
  readonly shapes: Readonly<Record<string, readonly number[]>>;
}

interface Head extends Omit<WholeProgram, 'program' | 'weights'> {
  readonly compiler: string;
  readonly program: Omit<Program, 'words' | 'tables'>;
  readonly wordsBytes: number;
  readonly tablesBytes: number;
  readonly weightsBytes: number;
}

/** Larger models take long enough to load anyway, and much room on small disks. */
const MODEL_BYTES_MAX = 64 * 2 ** 20;
const FILE_BYTES_MAX = 64 * 2 ** 20;
/** Of all files together; those that were written first make room. */
const FOLDER_BYTES_MAX = 512 * 2 ** 20;
const FILES_MAX = 64;

const CRC_BYTES = 4;
const LENGTHS_BYTES = 8;
/** Of a model file at a time, to know it again. */
const PART_BYTES = 65_536;

export class KeptPrograms {
  readonly #folder: string;
  readonly #compiler: string;
  readonly #writes = new Set<Promise<boolean>>();

  /** `compiler` names the code that compiles: programs of any other do not count. */
  constructor(folder: string, compiler: string) {
    this.#folder = folder;
    this.#compiler = compiler;
  }

  /**
   * The program kept for a model file, made for kernels with these traits. Its weights lie where `place` gives them room, also
   * when they turn out to be damaged. Throws a MemoryLimitError when there is none.
   */
  recall(file: ByteSource, traits: KernelTraits, place: (byteLength: number) => Uint8Array): WholeProgram | undefined {
    if (file.byteLength > MODEL_BYTES_MAX) return undefined;
    let kept: number | undefined;
    try {
      kept = openSync(this.#pathOf(file, traits), 'r');
      return this.#parse(kept, place);
    } catch (error) {
      if (error instanceof MemoryLimitError) throw error;
      return undefined;
    } finally {
      if (kept !== undefined) closeSync(kept);
    }
  }

  /**
   * Keeps a program. Resolves to false where that cannot be. Weights are not copied: should their memory be used for something else before
   * they are written, the file's sum does not fit.
   */
  async keep(file: ByteSource, traits: KernelTraits, whole: WholeProgram): Promise<boolean> {
    const write = this.#write(file, traits, whole);
    this.#writes.add(write);
    try {
      return await write;
    } finally {
      this.#writes.delete(write);
    }
  }

  /** Resolves when nothing is being written any more. */
  async settle(): Promise<void> {
    await Promise.all(this.#writes);
  }

  async #write(file: ByteSource, traits: KernelTraits, whole: WholeProgram): Promise<boolean> {
    const { program, weights } = whole;
    const bytes = program.words.byteLength + program.tables.byteLength + weights.byteLength;
    if (file.byteLength > MODEL_BYTES_MAX || bytes > FILE_BYTES_MAX) return false;
    const path = this.#pathOf(file, traits);
    const part = `${path}.${process.pid}.part`;
    const parts = this.#format(whole);
    try {
      await promises.mkdir(this.#folder, { recursive: true });
      this.#makeRoom(parts.reduce((sum, { byteLength }) => sum + byteLength, 0));
      await writeParts(part, parts);
      await promises.rename(part, path);
      return true;
    } catch {
      await promises.rm(part, { force: true }).catch(() => undefined);
      return false;
    }
  }

  #pathOf(file: ByteSource, traits: KernelTraits): string {
    return join(this.#folder, `${fingerprint(file)}-${traitsName(traits)}.program`);
  }

  #format({ program, weights, ...rest }: WholeProgram): Uint8Array[] {
    const { words, tables, ...described } = program;
    const head: Head = {
      ...rest,
      compiler: this.#compiler,
      program: described,
      wordsBytes: words.byteLength,
      tablesBytes: tables.byteLength,
      weightsBytes: weights.byteLength,
    };
    const text = new TextEncoder().encode(JSON.stringify(head));
    const lengths = Uint32Array.of(text.length, text.length + words.byteLength + tables.byteLength);
    const parts = [bytesOf(lengths), text, bytesOf(words), bytesOf(tables), weights];
    return [...parts, bytesOf(Uint32Array.of(sumOf(parts)))];
  }

  #parse(file: number, place: (byteLength: number) => Uint8Array): WholeProgram | undefined {
    const { size } = fstatSync(file);
    const lengths = new Uint32Array(2);
    fill(file, bytesOf(lengths), 0);
    const [headBytes = 0, frontBytes = 0] = lengths;
    if (headBytes > frontBytes || LENGTHS_BYTES + frontBytes + CRC_BYTES > size) return undefined;
    const front = Buffer.allocUnsafeSlow(frontBytes);
    fill(file, front, LENGTHS_BYTES);
    const head: Head = JSON.parse(front.toString('utf8', 0, headBytes));
    const { compiler, program, wordsBytes, tablesBytes, weightsBytes, ...rest } = head;
    if (compiler !== this.#compiler || headBytes + wordsBytes + tablesBytes !== frontBytes) return undefined;
    if (LENGTHS_BYTES + frontBytes + weightsBytes + CRC_BYTES !== size) return undefined;
    const weights = place(weightsBytes);
    fill(file, weights, LENGTHS_BYTES + frontBytes);
    const sum = new Uint32Array(1);
    fill(file, bytesOf(sum), size - CRC_BYTES);
    if (sum[0] !== sumOf([bytesOf(lengths), front, weights])) return undefined;
    // The head may end anywhere, words begin at a multiple of four.
    const words = new Uint32Array(front.buffer.slice(headBytes, headBytes + wordsBytes));
    return { ...rest, program: { ...program, words, tables: front.subarray(headBytes + wordsBytes) }, weights };
  }

  #makeRoom(bytes: number): void {
    const files = readdirSync(this.#folder).map((name) => {
      const path = join(this.#folder, name);
      const { size, mtimeMs } = statSync(path);
      return { path, size, mtimeMs };
    });
    files.sort((one, other) => one.mtimeMs - other.mtimeMs);
    let sum = files.reduce((total, { size }) => total + size, bytes);
    let count = files.length + 1;
    for (const { path, size } of files) {
      if (sum <= FOLDER_BYTES_MAX && count <= FILES_MAX) return;
      rmSync(path, { force: true });
      sum -= size;
      count--;
    }
  }
}

function sumOf(parts: readonly Uint8Array[]): number {
  return parts.reduce((crc, bytes) => crc32(bytes, crc), 0);
}

async function writeParts(path: string, parts: readonly Uint8Array[]): Promise<void> {
  const file = await promises.open(path, 'w');
  try {
    for (const part of parts) await file.writeFile(part);
  } finally {
    await file.close();
  }
}

/** Reads a part of a file; throws an Error when it ends before. */
function fill(file: number, target: Uint8Array, start: number): void {
  for (let at = 0; at < target.length; ) {
    const got = readSync(file, target, at, target.length - at, start + at);
    if (got === 0) throw new Error('the file ends too early');
    at += got;
  }
}

/** Tells model files apart: its length and the CRC-32 of its quarters. No guard against files that are made to look alike. */
function fingerprint(file: ByteSource): string {
  const { byteLength } = file;
  const quarter = Math.ceil(byteLength / 4);
  const part = new Uint8Array(Math.min(PART_BYTES, quarter));
  const sums = [0, 1, 2, 3].map((index) => {
    const end = Math.min((index + 1) * quarter, byteLength);
    let sum = 0;
    for (let start = index * quarter; start < end; start += part.length)
      sum = crc32(file.read(start, Math.min(start + part.length, end), part), sum);
    return sum;
  });
  return [byteLength, ...sums].map((sum) => sum.toString(16).padStart(8, '0')).join('');
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
