/**
 * Loads the kernels: the only file that touches what assembly/ compiles to. One source gives two binaries (plain and relaxed SIMD); the
 * relaxed one also runs with pairs of 128-bit operations fused to 256 bits where V8 can. Which build suits a machine: choose-build.ts.
 * The computing thread loads this file at each start of a process, so that it imports next to nothing.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import v8 from 'node:v8';
import type { KernelTraits } from '../compile/traits.ts';

/** In falling order of speed. `revectorized` is the relaxed binary under V8's flag, with panels of 16 columns. */
export const kernelBuilds = ['revectorized', 'relaxed', 'plain'] as const;

export type KernelBuild = (typeof kernelBuilds)[number];

export interface Kernels {
  readonly build: KernelBuild;
  /** What programs are best made for. Tried out when it is read. */
  readonly traits: KernelTraits;
  /** Can be posted to a worker and given to `loadKernels` there, with `build`: compiled code is shared. */
  readonly module: WebAssembly.Module;
  /** First byte of the memory that the kernels leave alone; everything below is theirs. */
  readonly heapBase: number;
  /**
   * Runs a program. All are byte addresses in the memory: `words` of the program, `bases` of three u32 base pointers (arena, weights,
   * tables; each a multiple of 16), `flag` of an i32 that suspends the run when it is not zero; `pc` is the word to begin at.
   * Returns -1 when done, the word to resume at (>= 0) when suspended, -(2 + fault) otherwise (assembly/opcodes.ts, FAULT_…).
   */
  execute(words: number, pc: number, bases: number, flag: number): number;
  /** As `execute`, for a run whose bases and lanes stand on a core's board (core-block.ts): its helpers may take part. */
  executeShared(words: number, pc: number, board: number): number;
  /** Takes part in the run on a board, in a lane of its own, until the i32 at `bell` is no longer `rings`. */
  help(board: number, lane: number, bell: number, rings: number): void;
  /** To be called after a trap of `executeShared`, or of `help`. */
  abandon(board: number): void;
  failChunk(board: number, lane: number): void;
  /** Word index of the instruction that faulted last. */
  faultWord(): number;
}

interface Exports extends Omit<Kernels, 'build' | 'traits' | 'module' | 'heapBase'> {
  byteDot(): number;
  heapBase(): number;
  setScratch(pointer: number): void;
}

/** By what `byteDot` returns: BYTE_DOT_… in assembly/opcodes.ts. */
const byteDots = [undefined, 'unsigned', 'signed'] as const;

/** Pages of 64 KiB that the kernels' memory needs at least. */
export const MEMORY_PAGES_MIN = 4;
const PAGE_BYTES = 65_536;

// The first page lies below the module's data and is ours: a counter, then one slot of scratch for each instance in turn. More
// instances at a time than slots would share one, so a memory serves at most this many cores.
const SLOTS = 60;
const SLOT_BYTES = 1024;
const FIRST_SLOT = 1024;
const COUNTER_WORD = 0;

/** V8 from which re-vectorisation gains (Node 24); earlier ones lack the flag, or take it and gain nothing. */
const REVECTORIZE_V8 = [13, 6];

/**
 * Sets V8's flags for fast kernels; call it before the first `loadKernels` of the process. Without Liftoff, functions are compiled
 * by the optimising compiler at their first call, instead of running up to twenty times slower for a while. The flags hold for all
 * threads.
 */
export function prepareV8(build: KernelBuild = 'revectorized'): void {
  isPrepared = true;
  v8.setFlagsFromString('--no-liftoff');
  if (build === 'revectorized' && canRevectorize()) v8.setFlagsFromString('--experimental-wasm-revectorize');
}

let isPrepared = false;

/**
 * Compiles what is no kernel: whole and quickly, by the compiler that `prepareV8` switches off; V8 optimises what is called often later, in
 * the background. Otherwise the first picture would wait 200 ms for the optimising compiler.
 */
export function compileQuickly(binary: Uint8Array<ArrayBuffer>): WebAssembly.Module {
  if (!isPrepared) return new WebAssembly.Module(binary);
  v8.setFlagsFromString('--liftoff');
  v8.setFlagsFromString('--no-wasm-lazy-compilation');
  try {
    return new WebAssembly.Module(binary);
  } finally {
    v8.setFlagsFromString('--wasm-lazy-compilation');
    v8.setFlagsFromString('--no-liftoff');
  }
}

export function canRevectorize(): boolean {
  const [major = 0, minor = 0] = process.versions.v8.split('.').map(Number);
  const [wantedMajor, wantedMinor] = REVECTORIZE_V8 as [number, number];
  return process.arch === 'x64' && (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor));
}

/** From `kernels/` beside a bundle, else from the checkout's build/. */
function readKernels(name: 'plain' | 'relaxed'): Uint8Array<ArrayBuffer> {
  const folders = ['kernels', '../../build'].map((each) => join(import.meta.dirname, each));
  let cause: unknown;
  for (const each of folders)
    try {
      return readFileSync(join(each, `kernels-${name}.wasm`));
    } catch (error) {
      cause = error;
    }
  const places = folders.join(' or ');
  throw new Error(`kernels-${name}.wasm: expected it in ${places}; run npm run build`, { cause });
}

const binaries = new Map<string, Uint8Array<ArrayBuffer>>();
const modules = new Map<string, WebAssembly.Module | undefined>();

/** Throws an Error that says where it was looked for. */
export function binaryOf(name: 'plain' | 'relaxed'): Uint8Array<ArrayBuffer> {
  const bytes = binaries.get(name) ?? readKernels(name);
  binaries.set(name, bytes);
  return bytes;
}

/** Undefined where this host does not know the instructions. */
export function moduleOf(build: KernelBuild): WebAssembly.Module | undefined {
  const name = build === 'plain' ? 'plain' : 'relaxed';
  if (modules.has(name)) return modules.get(name);
  let module: WebAssembly.Module | undefined;
  try {
    module = new WebAssembly.Module(binaryOf(name));
  } catch (error) {
    if (!(error instanceof WebAssembly.CompileError)) throw error;
  }
  modules.set(name, module);
  return module;
}

/** A custom section, empty but for its one-letter name (WebAssembly Core Specification 2.0, 5.5.3): it changes nothing. */
const MARK = [0, 2, 1, 0x62];

/** The same kernels as a module of their own, which shares no compiled code with the other: for `FirstSteps`. */
export function twinOf(build: KernelBuild): WebAssembly.Module {
  const bytes = binaryOf(build === 'plain' ? 'plain' : 'relaxed');
  const marked = new Uint8Array(bytes.length + MARK.length);
  marked.set(bytes);
  marked.set(MARK, bytes.length);
  return new WebAssembly.Module(marked);
}

/**
 * Instantiates a build of the kernels over a shared memory (maximum at most 65536 pages). `module` is what another thread compiled.
 * Whether a build gives right results on this machine is not looked at: that is for `chooseBuild`.
 */
export function loadKernels(
  memory: WebAssembly.Memory,
  { build, module = moduleOf(build) }: { build: KernelBuild; module?: WebAssembly.Module },
): Kernels {
  const shared = (memory.buffer as ArrayBufferLike) instanceof SharedArrayBuffer;
  if (!shared || memory.buffer.byteLength < MEMORY_PAGES_MIN * PAGE_BYTES)
    throw new Error(`kernel memory: expected a shared one of at least ${MEMORY_PAGES_MIN} pages`);
  if (!module) throw new Error(`kernels: this host cannot run the ${build} build; let the engine choose`);
  const instance = new WebAssembly.Instance(module, { env: { memory } });
  const { byteDot, heapBase, setScratch, ...rest } = instance.exports as unknown as Exports;
  const slot = Atomics.add(new Uint32Array(memory.buffer), COUNTER_WORD, 1) % SLOTS;
  setScratch(FIRST_SLOT + slot * SLOT_BYTES);
  return {
    ...rest,
    build,
    get traits(): KernelTraits {
      return { panel: build === 'revectorized' ? 16 : 8, byteDot: byteDots[byteDot()] };
    },
    module,
    heapBase: heapBase(),
  };
}
