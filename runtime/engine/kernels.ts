/**
 * Loads the kernels: the only file that touches what assembly/ compiles to. One source gives two binaries (plain and relaxed SIMD); the
 * relaxed one also runs with pairs of 128-bit operations fused to 256 bits where V8 can. A faster build is used only after it agreed
 * with a scalar reference on this machine.
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import v8 from 'node:v8';
import { checkKernels, isWideFaster } from './kernel-check.ts';

/** In falling order of speed. `revectorized` is the relaxed binary under V8's flag, with panels of 16 columns. */
export type KernelBuild = 'revectorized' | 'relaxed' | 'plain';

export interface Kernels {
  readonly build: KernelBuild;
  /** Columns in a panel that suit this build; a program made for either width runs on every build. */
  readonly panel: 8 | 16;
  /** Can be posted to a worker and given to `loadKernels` there, with `build`: compiled code is shared. */
  readonly module: WebAssembly.Module;
  /** First byte of the memory that the kernels leave alone; everything below is theirs. */
  readonly heapBase: number;
  /** Why a faster build was not taken; empty when the fastest was. */
  readonly notes: readonly string[];
  /**
   * Runs a program. All are byte addresses in the memory: `words` of the program, `bases` of three u32 base pointers (arena, weights,
   * tables; each a multiple of 16), `flag` of an i32 that suspends the run when it is not zero; `pc` is the word to begin at.
   * Returns -1 when done, the word to resume at (>= 0) when suspended, -(2 + fault) otherwise (assembly/opcodes.ts, FAULT_…).
   */
  execute(words: number, pc: number, bases: number, flag: number): number;
  /** Word index of the instruction that faulted last. */
  faultWord(): number;
}

interface Exports {
  execute(words: number, pc: number, bases: number, flag: number): number;
  faultWord(): number;
  heapBase(): number;
  setScratch(pointer: number): void;
}

/** Pages of 64 KiB that the kernels' memory needs at least. */
export const MEMORY_PAGES_MIN = 4;
const CHECK_PAGES = 16;
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
 * by the optimising compiler at their first call, instead of running up to twenty times slower for a while.
 */
export function prepareV8(): void {
  v8.setFlagsFromString('--no-liftoff');
  if (canRevectorize()) v8.setFlagsFromString('--experimental-wasm-revectorize');
}

function canRevectorize(): boolean {
  const [major = 0, minor = 0] = process.versions.v8.split('.').map(Number);
  const [wantedMajor, wantedMinor] = REVECTORIZE_V8 as [number, number];
  return process.arch === 'x64' && (major > wantedMajor || (major === wantedMajor && minor >= wantedMinor));
}

/** From `kernels/` beside a bundle, else from the checkout's build/. */
function readKernels(name: 'plain' | 'relaxed'): Uint8Array<ArrayBuffer> {
  const folders = [new URL('./kernels/', import.meta.url), new URL('../../build/', import.meta.url)];
  let cause: unknown;
  for (const each of folders)
    try {
      return new Uint8Array(readFileSync(new URL(`kernels-${name}.wasm`, each)));
    } catch (error) {
      cause = error;
    }
  const places = folders.map((each) => fileURLToPath(each)).join(' or ');
  throw new Error(`kernels-${name}.wasm: expected it in ${places}; run npm run build`, { cause });
}

const bytesOf = new Map<string, Uint8Array<ArrayBuffer>>();
const modules = new Map<string, WebAssembly.Module>();

function moduleOf(build: KernelBuild): WebAssembly.Module | undefined {
  const name = build === 'plain' ? 'plain' : 'relaxed';
  let module = modules.get(name);
  if (module) return module;
  const bytes = bytesOf.get(name) ?? readKernels(name);
  bytesOf.set(name, bytes);
  if (!WebAssembly.validate(bytes)) return undefined;
  module = new WebAssembly.Module(bytes);
  modules.set(name, module);
  return module;
}

/**
 * Instantiates the kernels over a shared memory (maximum at most 65536 pages). Without `build`, takes the fastest that works here,
 * after a check of a few milliseconds; with `build`, that one, unchecked (a worker passes on what the main thread chose).
 */
export function loadKernels(
  memory: WebAssembly.Memory,
  options: { build?: KernelBuild; module?: WebAssembly.Module } = {},
): Kernels {
  const shared = (memory.buffer as ArrayBufferLike) instanceof SharedArrayBuffer;
  if (!shared || memory.buffer.byteLength < MEMORY_PAGES_MIN * PAGE_BYTES)
    throw new Error(`kernel memory: expected a shared one of at least ${MEMORY_PAGES_MIN} pages`);
  if (options.build) {
    const module = options.module ?? moduleOf(options.build);
    if (!module)
      throw new Error(`kernels: this host cannot run the ${options.build} build; leave the choice to loadKernels`);
    return instantiate(memory, options.build, module, []);
  }
  const { build, module, notes } = chooseBuild();
  return instantiate(memory, build, module, notes);
}

/** Tries builds in a memory of their own, so that the caller's stays untouched. */
function chooseBuild(): Kernels {
  const memory = new WebAssembly.Memory({ initial: CHECK_PAGES, maximum: CHECK_PAGES, shared: true });
  const notes: string[] = [];
  const candidates: KernelBuild[] = canRevectorize() ? ['revectorized', 'relaxed', 'plain'] : ['relaxed', 'plain'];
  for (const build of candidates) {
    const module = moduleOf(build);
    if (!module) {
      notes.push(`${build}: this host does not know relaxed SIMD`);
      continue;
    }
    const kernels = instantiate(memory, build, module, notes);
    const mismatch = checkKernels(memory, kernels);
    if (mismatch) notes.push(`${build}: ${mismatch}`);
    else if (build === 'revectorized' && !isWideFaster(memory, kernels)) notes.push('revectorized: no faster here');
    else return kernels;
  }
  throw new Error(`kernels: no build gives right results on this machine: ${notes.join('; ')}`);
}

function instantiate(
  memory: WebAssembly.Memory,
  build: KernelBuild,
  module: WebAssembly.Module,
  notes: readonly string[],
): Kernels {
  const exports = new WebAssembly.Instance(module, { env: { memory } }).exports as unknown as Exports;
  const slot = Atomics.add(new Uint32Array(memory.buffer), COUNTER_WORD, 1) % SLOTS;
  exports.setScratch(FIRST_SLOT + slot * SLOT_BYTES);
  return {
    build,
    panel: build === 'revectorized' ? 16 : 8,
    module,
    heapBase: exports.heapBase(),
    notes,
    execute: exports.execute,
    faultWord: exports.faultWord,
  };
}
