/**
 * Picture decoders compiled to WASM by Emscripten, from the @jsquash packages. Reads a .wasm file from disk on first use.
 * The packages' own wrappers are passed by, because they fetch the file by URL, hide the decoders' warnings and have no
 * way to start afresh after a fatal error.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename } from 'node:path';
import { compileQuickly } from '../engine/kernels.ts';

export interface Pixels {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, alpha, row by row. */
  readonly rgba: Uint8ClampedArray;
}

/** Linear memory never shrinks: an instance that grew beyond this is dropped after the picture that needed it. */
const MEMORY_KEPT_BYTES_MAX = 64 * 1024 * 1024;

/** Emscripten fills the options it is given with the module's functions before it returns. */
interface Options {
  decode?(...given: unknown[]): { width: number; height: number; data: Uint8ClampedArray } | null;
  [option: string]: unknown;
}

interface Instance {
  readonly module: Options;
  memoryBytes(): number;
  /** What the decoder complained about during the last call. */
  readonly messages: string[];
}

export interface Codec {
  /** Throws what the decoder throws; `complain` gets every line that it printed, and may throw too. */
  decode(given: readonly unknown[], complain: (message: string) => void): Pixels;
}

/**
 * A decoder whose code is the `file` of an installed package; in a bundle it lies beside this file (scripts/build.mjs).
 * `create` is the package's module factory.
 */
export function createCodec(create: (options?: object) => unknown, file: string): Codec {
  let compiled: WebAssembly.Module | undefined;
  let kept: Instance | undefined;
  return {
    decode(given, complain) {
      compiled ??= loadWasm(file);
      const instance = kept ?? instantiate(create, compiled);
      // A fatal error ends an instance: it is kept only once its picture is decoded.
      kept = undefined;
      instance.messages.length = 0;
      const pixels = decodeWith(instance, given, complain);
      if (instance.memoryBytes() <= MEMORY_KEPT_BYTES_MAX) kept = instance;
      return pixels;
    },
  };
}

function decodeWith(instance: Instance, given: readonly unknown[], complain: (message: string) => void): Pixels {
  const { module, messages } = instance;
  let pixels: ReturnType<NonNullable<Options['decode']>>;
  try {
    pixels = module.decode?.(...given) ?? null;
  } catch (cause) {
    throw new Error(`the decoder gave up: ${messages.at(-1) ?? cause}`, { cause });
  }
  messages.forEach(complain);
  if (!pixels) throw new Error('the decoder found no picture');
  return { width: pixels.width, height: pixels.height, rgba: pixels.data };
}

function loadWasm(file: string): WebAssembly.Module {
  const beside = new URL(`./${basename(file)}`, import.meta.url);
  try {
    const installed = () => createRequire(import.meta.url).resolve(file);
    return compileQuickly(readFileSync(existsSync(beside) ? beside : installed()));
  } catch (cause) {
    throw new Error(`image: expected the decoder at ${beside.pathname} or in its package (${file})`, { cause });
  }
}

function instantiate(create: (options?: object) => unknown, wasm: WebAssembly.Module): Instance {
  const messages: string[] = [];
  let memory: WebAssembly.Memory | undefined;
  const module: Options = {
    noInitialRun: true,
    print: (line: string) => messages.push(line),
    printErr: (line: string) => messages.push(line),
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      const instance = new WebAssembly.Instance(wasm, imports);
      memory = Object.values(instance.exports).find((value) => value instanceof WebAssembly.Memory);
      done(instance);
      return instance.exports;
    },
  };
  create(module);
  if (!module.decode) throw new Error('assertion: the decoder is ready when its code is there already');
  return { module, memoryBytes: () => memory?.buffer.byteLength ?? 0, messages };
}
