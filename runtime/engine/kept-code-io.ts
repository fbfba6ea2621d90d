/**
 * The machine code that V8's optimising compiler made of the kernels, kept from one start to the next: compiling what a small model needs
 * takes 30 to 100 ms, reading it back less than 2. V8 has no public interface for that in Node (`v8.serialize` leaves the code out); its
 * own tests do it by two runtime functions, which this file calls on the one version of V8 that they were tried with. V8 itself refuses
 * code of another version, of other flags or for another processor; whatever else is wrong with a file, it counts as absent.
 *
 * A file: CRC-32 of what the code was made for, CRC-32 of the code (u32 each, little-endian), the code.
 */
import {
  closeSync,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import v8 from 'node:v8';
import { crc32 } from 'node:zlib';
import { circumstances } from './build-choice-io.ts';
import { binaryOf, type KernelBuild, prepareV8 } from './kernels.ts';

/** Elsewhere the functions may take other arguments, which would end the process. */
const V8_TRIED = '13.6.';
const HEAD_BYTES = 8;
/** All kernels together are a fraction of it. */
const CODE_BYTES_MAX = 16 * 2 ** 20;
const WRITABLE_BY_OTHERS = 0o022;
/** After a model was loaded; by then it was run, or nobody waits for it. */
const KEEP_AFTER_MS = 5_000;

/** Runs a function of V8's own. Undefined where this host does not allow it. */
function callV8<T>(source: string, ...values: unknown[]): T | undefined {
  v8.setFlagsFromString('--allow-natives-syntax');
  try {
    return new Function('a', 'b', `return ${source}`)(...values);
  } catch {
    return undefined;
  } finally {
    // For the moment only: V8 compares the flags also for Node's own ready-made code.
    v8.setFlagsFromString('--no-allow-natives-syntax');
  }
}

function fileOf(folder: string, build: KernelBuild): string {
  return join(folder, `kernels-${build}.code`);
}

const purposeOf = (build: KernelBuild): number => crc32(`${circumstances()}, ${build}`);

/** Code is executed as it stands, so that it must be this user's own. */
function isOurs({ uid, mode }: { uid: number; mode: number }): boolean {
  return process.getuid === undefined || (uid === process.getuid() && (mode & WRITABLE_BY_OTHERS) === 0);
}

function readCode(folder: string, build: KernelBuild): ArrayBuffer | undefined {
  let file: number | undefined;
  try {
    file = openSync(fileOf(folder, build), 'r');
    const stat = fstatSync(file);
    const length = stat.size - HEAD_BYTES;
    if (!isOurs(stat) || length <= 0 || length > CODE_BYTES_MAX) return undefined;
    const head = new Uint32Array(2);
    const code = new Uint8Array(length);
    const got = readSync(file, head, 0, HEAD_BYTES, 0) + readSync(file, code, 0, length, HEAD_BYTES);
    const isGood = got === stat.size && head[0] === purposeOf(build) && head[1] === crc32(code);
    return isGood ? code.buffer : undefined;
  } catch {
    return undefined;
  } finally {
    if (file !== undefined) closeSync(file);
  }
}

/** A build's module with the code that was kept of it, if any was. */
export class KeptCode {
  readonly #folder: string;
  readonly #build: KernelBuild;
  readonly #isPossible: boolean;
  /** With code for what was run here before; it belongs to V8's flags, which are set with it. */
  readonly module: WebAssembly.Module | undefined;
  #bytes = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(folder: string, build: KernelBuild) {
    this.#folder = folder;
    this.#build = build;
    this.#isPossible = process.versions.v8.startsWith(V8_TRIED);
    if (!this.#isPossible) return;
    const code = readCode(folder, build);
    if (!code) return;
    prepareV8(build);
    const binary = binaryOf(build === 'plain' ? 'plain' : 'relaxed');
    this.module = callV8('%DeserializeWasmModule(a, b)', code, binary);
    if (this.module) this.#bytes = code.byteLength;
  }

  /** Keeps what V8 will have compiled a while from now, if `hasCode` then. */
  keepSoon(module: WebAssembly.Module, hasCode: () => boolean): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => hasCode() && this.keep(module), KEEP_AFTER_MS).unref();
  }

  /**
   * Keeps what V8 has compiled by now, where it is more than before; V8 ends the process when that is nothing. Readers see the old file or
   * the new one, whole.
   */
  keep(module: WebAssembly.Module): void {
    clearTimeout(this.#timer);
    if (!this.#isPossible) return;
    const made = callV8<ArrayBuffer>('%SerializeWasmModule(a)', module);
    if (!made || made.byteLength <= this.#bytes || made.byteLength > CODE_BYTES_MAX) return;
    this.#bytes = made.byteLength;
    const code = new Uint8Array(made);
    const head = new Uint8Array(Uint32Array.of(purposeOf(this.#build), crc32(code)).buffer);
    const path = fileOf(this.#folder, this.#build);
    const part = `${path}.${process.pid}.part`;
    try {
      mkdirSync(this.#folder, { recursive: true });
      writeFileSync(part, Buffer.concat([head, code]), { mode: 0o600 });
      renameSync(part, path);
    } catch {
      if (existsSync(part)) rmSync(part);
    }
  }
}
