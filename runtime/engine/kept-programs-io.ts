/**
 * Compiled programs kept on disk with their packed weights, so that a model that was run here before starts without being
 * read, compiled and packed. What is kept can always be made again: whatever is wrong with a file, it counts as absent.
 *
 * A file: the length of the head and of the front (u32 each), the front (the head in JSON, instruction words, tables), weights, and a
 * CRC-32 of all that. Its name tells the contents of the model's file; a symbolic link to it, the file's place on the disk, so that mostly
 * they need not be read. Weights are summed in a buffer that stays in the cache, on their way to where they will be used: memory that was
 * never touched before is what costs at a start, and read into by the system, it costs twice.
 */
import {
  closeSync,
  fstatSync,
  lstatSync,
  openSync,
  promises,
  readdirSync,
  readSync,
  rmSync,
  symlinkSync,
} from 'node:fs';
import { basename, join } from 'node:path';
import { crc32 } from 'node:zlib';
import type { Program } from '../compile/program.ts';
import { type KernelTraits, traitsName } from '../compile/traits.ts';
import type { ByteSource } from '../onnx/byte-source.ts';
import { copyBytes } from './copy-bytes.ts';
import { MemoryLimitError } from './memory.ts';
import { fingerprintOf, placeOf } from './model-file-io.ts';
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
/** Of all files together, links among them; those that were written first make room. */
const FOLDER_BYTES_MAX = 512 * 2 ** 20;
const FILES_MAX = 128;

const CRC_BYTES = 4;
const LENGTHS_BYTES = 8;
/** Of a model's file, or of weights, at a time. */
const PART_BYTES = 65_536;

export class KeptPrograms {
  readonly #folder: string;
  readonly #compiler: string;
  readonly #writes = new Set<Promise<boolean>>();
  readonly #part = new Uint8Array(PART_BYTES);

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
    const placed = placeOf(file);
    const link = placed && this.#pathOf(placed, traits);
    const known = link && this.#read(link, place);
    if (known) return known;
    const path = this.#pathOf(fingerprintOf(file, this.#part), traits);
    const whole = this.#read(path, place);
    if (whole && link) linkTo(path, link);
    return whole;
  }

  #read(path: string, place: (byteLength: number) => Uint8Array): WholeProgram | undefined {
    let kept: number | undefined;
    try {
      kept = openSync(path, 'r');
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
    const path = this.#pathOf(fingerprintOf(file, this.#part), traits);
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

  #pathOf(model: string, traits: KernelTraits): string {
    return join(this.#folder, `${model}-${traitsName(traits)}.program`);
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
    let sum = sumOf([bytesOf(lengths), front]);
    for (let at = 0; at < weightsBytes; at += PART_BYTES) {
      const part = this.#part.subarray(0, Math.min(PART_BYTES, weightsBytes - at));
      fill(file, part, LENGTHS_BYTES + frontBytes + at);
      sum = crc32(part, sum);
      copyBytes(weights.subarray(at), part);
    }
    const wanted = new Uint32Array(1);
    fill(file, bytesOf(wanted), size - CRC_BYTES);
    if (wanted[0] !== sum) return undefined;
    // The head may end anywhere, words begin at a multiple of four.
    const words = new Uint32Array(front.buffer.slice(headBytes, headBytes + wordsBytes));
    return { ...rest, program: { ...program, words, tables: front.subarray(headBytes + wordsBytes) }, weights };
  }

  #makeRoom(bytes: number): void {
    const files = readdirSync(this.#folder).map((name) => {
      const path = join(this.#folder, name);
      const { size, mtimeMs } = lstatSync(path);
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

function linkTo(path: string, link: string): void {
  try {
    symlinkSync(basename(path), link);
  } catch {
    // Another process was first, or there are no links here: then the next start reads the model's file again.
  }
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

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
