/**
 * The JPEG decoder: mozjpeg compiled to WASM, from @jsquash/jpeg. Reads its .wasm file from disk on first use.
 * The package's own wrapper is passed by, because it fetches the file by URL, hides the decoder's warnings and has no
 * way to start afresh after a fatal error.
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import createDecoder from '@jsquash/jpeg/codec/dec/mozjpeg_dec.js';

export interface JpegPixels {
  readonly width: number;
  readonly height: number;
  /** Red, green, blue, 255, row by row. */
  readonly rgba: Uint8ClampedArray;
}

/** Linear memory never shrinks: an instance that grew beyond this is dropped after the picture that needed it. */
const MEMORY_KEPT_BYTES_MAX = 64 * 1024 * 1024;

/**
 * Common webcams leave a few bytes between the last scan and the end marker. More than these mean that the decoder
 * lost its way in damaged data.
 */
const EXTRANEOUS_BYTES_MAX = 16;

interface Decoder {
  decode(bytes: Uint8Array): { width: number; height: number; data: Uint8ClampedArray };
  memoryBytes(): number;
  /** What the decoder complained about during the last call. */
  messages: string[];
}

let compiled: WebAssembly.Module | undefined;
let decoder: Promise<Decoder> | undefined;

/**
 * The decoder's code, from the file beside this one when it is part of a bundle (the bundler copies
 * `@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm` next to the bundle), else from the installed package.
 */
function loadWasm(): WebAssembly.Module {
  const beside = new URL('./mozjpeg_dec.wasm', import.meta.url);
  try {
    const installed = () => createRequire(import.meta.url).resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm');
    return new WebAssembly.Module(readFileSync(existsSync(beside) ? beside : installed()));
  } catch (cause) {
    throw new Error(`jpeg: expected the decoder at ${beside.pathname} or in the package @jsquash/jpeg`, { cause });
  }
}

async function createInstance(): Promise<Decoder> {
  compiled ??= loadWasm();
  const wasm = compiled;
  const messages: string[] = [];
  let memory: WebAssembly.Memory | undefined;
  const module = await createDecoder({
    noInitialRun: true,
    print: (line: string) => messages.push(line),
    printErr: (line: string) => messages.push(line),
    instantiateWasm(imports: WebAssembly.Imports, done: (instance: WebAssembly.Instance) => void) {
      const instance = new WebAssembly.Instance(wasm, imports);
      memory = Object.values(instance.exports).find((value) => value instanceof WebAssembly.Memory);
      done(instance);
      return instance.exports;
    },
  });
  return {
    decode: (bytes) => module.decode(bytes as unknown as BufferSource, false),
    memoryBytes: () => memory?.buffer.byteLength ?? 0,
    messages,
  };
}

/** Decodes a grey or colour JPEG, orientation ignored. Throws an Error when the data is damaged. */
export async function decodeJpeg(bytes: Uint8Array): Promise<JpegPixels> {
  decoder ??= createInstance();
  const current = decoder;
  let keep = false;
  try {
    const instance = await current;
    // Another picture has ended this instance while we waited for it.
    if (decoder !== current) return await decodeJpeg(bytes);
    const pixels = decodeWith(instance, bytes);
    keep = instance.memoryBytes() <= MEMORY_KEPT_BYTES_MAX;
    return pixels;
  } finally {
    if (!keep && decoder === current) decoder = undefined;
  }
}

function decodeWith(instance: Decoder, bytes: Uint8Array): JpegPixels {
  const { messages } = instance;
  messages.length = 0;
  let pixels: { width: number; height: number; data: Uint8ClampedArray };
  try {
    pixels = instance.decode(bytes);
  } catch (cause) {
    // libjpeg's fatal errors end the program, which here is the instance; what it said last is the reason.
    throw new Error(`image: expected a sound JPEG, the decoder gave up: ${messages.at(-1) ?? cause}`, { cause });
  }
  const complaint = messages.find((message) => !isHarmless(message));
  if (complaint) throw new Error(`image: expected a sound JPEG, got damaged data: ${complaint}`);
  return { width: pixels.width, height: pixels.height, rgba: pixels.data };
}

function isHarmless(message: string): boolean {
  const extraneous = /(\d+) extraneous bytes before marker/.exec(message);
  return extraneous !== null && Number(extraneous[1]) <= EXTRANEOUS_BYTES_MAX;
}
