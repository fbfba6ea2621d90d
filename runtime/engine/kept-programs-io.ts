/**
 * Compiled programs kept on disk with their packed weights, so that a model that was run here before starts without being
 * read, compiled and packed. What is kept can always be made again: whatever is wrong with a file, it counts as absent.
 *
 * A file: the length of the head (u32), the head (JSON), instruction words, tables, weights, and a CRC-32 of all that.
 */
import { readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { mkdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Program } from '../compile/program.ts';
import { type KernelTraits, traitsName } from '../compile/traits.ts';
import type { ByteSource } from '../onnx/byte-source.ts';
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
const LENGTH_BYTES = 4;

export class KeptPrograms {
  readonly #folder: string;
  readonly #compiler: string;
  readonly #writes = new Set<Promise<boolean>>();

  /** `compiler` names the code that compiles: programs of any other do not count. */
  constructor(folder: string, compiler: string) {
    this.#folder = folder;
    this.#compiler = compiler;
  }

  /** The program kept for a model file, made for kernels with these traits. */
  recall(file: ByteSource, traits: KernelTraits): WholeProgram | undefined {
    if (file.byteLength > MODEL_BYTES_MAX) return undefined;
    try {
      return this.#parse(readFileSync(this.#pathOf(file, traits)));
    } catch {
      return undefined;
    }
  }

  /** Keeps a program. Resolves to false where that cannot be. The bytes given are copied before it returns. */
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
    const content = this.#format(whole);
    try {
      await mkdir(this.#folder, { recursive: true });
      this.#makeRoom(content.byteLength);
      await writeFile(part, content);
      await rename(part, path);
      return true;
    } catch {
      await rm(part, { force: true }).catch(() => undefined);
      return false;
    }
  }

  #pathOf(file: ByteSource, traits: KernelTraits): string {
    return join(this.#folder, `${fingerprint(file)}-${traitsName(traits)}.program`);
  }

  #format({ program, weights, ...rest }: WholeProgram): Uint8Array {
    const { words, tables, arenaBytes, inputs, outputs, origins } = program;
    const head: Head = {
      ...rest,
      compiler: this.#compiler,
      program: { arenaBytes, inputs, outputs, origins },
      wordsBytes: words.byteLength,
      tablesBytes: tables.byteLength,
      weightsBytes: weights.byteLength,
    };
    const text = new TextEncoder().encode(JSON.stringify(head));
    const parts = [new Uint8Array(Uint32Array.of(text.length).buffer), text, bytesOf(words), bytesOf(tables), weights];
    const content = Buffer.concat(parts);
    return Buffer.concat([content, new Uint8Array(Uint32Array.of(crc32(content)).buffer)]);
  }

  #parse(bytes: Buffer): WholeProgram | undefined {
    const end = bytes.length - CRC_BYTES;
    if (end < LENGTH_BYTES || crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) return undefined;
    let at = LENGTH_BYTES;
    const take = (length: number): Uint8Array => {
      at += length;
      return bytes.subarray(at - length, at);
    };
    const head: Head = JSON.parse(Buffer.from(take(bytes.readUInt32LE(0))).toString());
    const { compiler, program, wordsBytes, tablesBytes, weightsBytes, ...rest } = head;
    if (compiler !== this.#compiler || at + wordsBytes + tablesBytes + weightsBytes !== end) return undefined;
    // The head may end anywhere, words begin at a multiple of four.
    const words = new Uint32Array(Uint8Array.from(take(wordsBytes)).buffer);
    const tables = take(tablesBytes);
    return { ...rest, program: { ...program, words, tables }, weights: take(weightsBytes) };
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

/** Tells model files apart: its length and the CRC-32 of its quarters. No guard against files that are made to look alike. */
function fingerprint(file: ByteSource): string {
  const { byteLength } = file;
  const bytes = file.read(0, byteLength);
  const quarter = Math.ceil(byteLength / 4);
  const sums = [0, 1, 2, 3].map((index) => crc32(bytes.subarray(index * quarter, (index + 1) * quarter)));
  return [byteLength, ...sums].map((sum) => sum.toString(16).padStart(8, '0')).join('');
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
