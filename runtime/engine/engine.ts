/** The engine: one memory, its cores, and the models that run on them by our own kernels. */

import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import type { KernelTraits } from '../compile/traits.ts';
import { type ByteSource, memorySource } from '../onnx/byte-source.ts';
import type { TenantSpec } from '../schedule/events.ts';
import type { TimelineRun } from '../schedule/timeline.ts';
import type { Accelerator } from './accelerator.ts';
import { cacheFolder, keepBuild, recallBuild } from './build-choice-io.ts';
import type { BuildChoice } from './choose-build.ts';
import { CompileThread } from './compile-thread.ts';
import { Core } from './core.ts';
import { CORES_MAX, CoreBlock } from './core-block.ts';
import { Dispatcher } from './dispatcher.ts';
import { FirstSteps } from './first-steps.ts';
import { KeptCode } from './kept-code-io.ts';
import { KeptModel, type KeptModelHome } from './kept-model.ts';
import { KeptPrograms, type WholeProgram } from './kept-programs-io.ts';
import { type KernelBuild, type Kernels, loadKernels, twinOf } from './kernels.ts';
import { EngineMemory, MemoryLimitError } from './memory.ts';
import { MemoryWeights } from './memory-weights.ts';
import type { Model, RunOptions } from './model.ts';
import { ModelMemory } from './model-memory.ts';
import type { OffloadQueue } from './offloaded-runs.ts';
import type { ModelUse, Residence } from './resident-model.ts';
import type { ResidencyNews } from './resident-models.ts';
import { ShortRuns } from './short-runs.ts';

const MEBIBYTE = 2 ** 20;
const MEMORY_BYTES_MIN = 2 * MEBIBYTE;
/** What a 32-bit WebAssembly memory can address. */
const MEMORY_BYTES_MAX = 4096 * MEBIBYTE;

export interface EngineOptions {
  /** Which kernels to use; the fastest that prove right on this machine when absent. */
  readonly build?: KernelBuild;
  /**
   * The same bits on every machine: the plain build, which neither fuses a product with a sum nor takes Winograd's way to convolutions.
   * Slower by half or more.
   */
  readonly reproducible?: boolean;
  /**
   * Bound on the memory that weights, programs and runs of all models take together; when absent, what this machine (or
   * the container around the process) has free, less a quarter for everything else, at most 4 GiB. Where a model needs more than is left,
   * those that were unused for longest are unloaded, and loaded again when they are to run next.
   */
  readonly memoryMaxBytes?: number;
  /** Is told of models that make room, and of their return. */
  readonly onResidency?: ResidencyNews;
  /** Cores that compute, from 1 to 16: those of the machine when absent. */
  readonly cores?: number;
  /** Whose runs are told apart, each with its share and its quota, besides the tenant "default", which may be given others than the usual ones. */
  readonly tenants?: readonly TenantSpec[];
  /** Where models may be computed that say so (`LoadOptions.runsOn`), besides the cores. */
  readonly accelerators?: readonly Accelerator[];
  /** Where the choice of a build, and programs, are kept from one start to the next; the user's cache folder when absent. */
  readonly cacheFolder?: string;
  /**
   * Names the code that compiles models: programs that it made are kept. When absent it is the name of this file in a
   * bundle, which tells contents; in a checkout, where code changes under one name, no programs are kept.
   */
  readonly compiler?: string;
}

export interface EngineInfo {
  readonly build: KernelBuild;
  readonly reproducible: boolean;
  /** How the engine came to this build. */
  readonly choice: 'asked for' | 'tried now' | 'kept from an earlier start';
  /** What was found out about this machine, in sentences. */
  readonly notes: readonly string[];
  /** That compute. */
  readonly cores: number;
  readonly memoryUsedBytes: number;
  readonly memoryMaxBytes: number;
}

export interface LoadOptions {
  readonly name: string;
  /** Where weights beside the model file are looked for. */
  readonly folder?: string;
  /**
   * Bound on the memory that the model's weights, programs and runs take together; the engine's own when absent. A model that fits only
   * without Winograd's weights does without them, and is slower: where the file fixes all shapes, so that loading shows it.
   */
  readonly memoryMaxBytes?: number;
  /** Stays in memory whatever others need. */
  readonly pinned?: boolean;
  /** Names of accelerators that it may be computed on, too, where the engine has them: each run where it is expected to end first. */
  readonly runsOn?: readonly string[];
}

/** Share of the free memory that stays with the system and the process itself. */
const RESERVE = 0.25;

function freeBytes(): number {
  const bytes = process.availableMemory() * (1 - RESERVE);
  return Math.min(Math.max(bytes, MEMORY_BYTES_MIN), MEMORY_BYTES_MAX);
}

export interface Engine {
  readonly info: EngineInfo;
  /**
   * Loads an ONNX model, from memory or from a file (onnx/file-io.ts), which must not change afterwards. Rejects with an UnsupportedError when our kernels lack
   * what the model needs, with a MemoryLimitError when there is no room, with an Error when the file is no valid model.
   */
  load(file: Uint8Array | ByteSource, options: LoadOptions): Promise<Model>;
  /** What became of the latest runs, in the order in which they ended: schedule/timeline.ts says why each waited. */
  readonly recentRuns: readonly TimelineRun[];
  /** What each of its models takes of the memory. */
  readonly modelUses: readonly ModelUse[];
  /** The order of runs that others compute: onnxruntime what our kernels cannot, and accelerators. */
  readonly offloaded: OffloadQueue;
  readonly accelerators: readonly Accelerator[];
  /** How long a run would take from now until its end, by what waits and is computed: on the cores, or an accelerator. Microseconds. */
  expectedUs(priority: RunOptions['priority'], workUs: number, accelerator?: string): number;
  /** Ends all runs (they reject) and gives thread and memory back. */
  close(): Promise<void>;
}

/** scripts/build.mjs: the bundler ends the names of files that others import with a hash of their contents. */
function bundleName(url: string): string | undefined {
  return /[^/]*-[0-9A-Z]{8}\.js$/.exec(url)?.[0];
}

async function chooseKernels(
  folder: string,
  asked: KernelBuild | undefined,
): Promise<BuildChoice & Pick<EngineInfo, 'choice'>> {
  if (asked) return { build: asked, notes: [], choice: 'asked for' };
  const kept = recallBuild(folder);
  if (kept) return { ...kept, choice: 'kept from an earlier start' };
  const { chooseBuild } = await import('./open-model.ts');
  const made = chooseBuild();
  keepBuild(folder, made);
  return { ...made, choice: 'tried now' };
}

/** Throws a MemoryLimitError when there is no room. */
function recallModel(programs: KeptPrograms, home: KeptModelHome): KeptModel | undefined {
  const { file, name } = home.source;
  const weights = new MemoryWeights(home.memory, name, 0);
  let model: KeptModel | undefined;
  try {
    const kept = programs.recall(file, home.traits, (byteLength) => weights.restore(byteLength));
    if (kept) model = new KeptModel(kept, weights, home);
    return model;
  } finally {
    if (!model) weights.free();
  }
}

let isFirst = true;

/**
 * V8's flags change when the first core starts, when kernels are tried, and when code was kept: from then on there is no baseline code,
 * and a thread takes twice as long to start.
 */
function withFirstSteps(
  core: Core,
  memory: EngineMemory,
  kernels: Kernels,
  isOptimized: boolean,
): Pick<Core, 'execute' | 'isReady' | 'hasThread' | 'block'> {
  if (isOptimized) return new FirstSteps(core, kernels, memory, { isOptimized });
  if (!isFirst) return core;
  isFirst = false;
  const module = twinOf(kernels.build);
  return new FirstSteps(core, loadKernels(memory.memory, { build: kernels.build, module }), memory, { isOptimized });
}

export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const memoryMaxBytes = options.memoryMaxBytes ?? freeBytes();
  if (!(memoryMaxBytes >= MEMORY_BYTES_MIN && memoryMaxBytes <= MEMORY_BYTES_MAX)) {
    throw new Error(
      `engine memory: expected a limit from ${MEMORY_BYTES_MIN} to ${MEMORY_BYTES_MAX} bytes, got ${memoryMaxBytes}`,
    );
  }
  const { reproducible = false, accelerators = [] } = options;
  if (reproducible && options.build !== undefined && options.build !== 'plain')
    throw new Error(`engine: reproducible results need the plain build; expected no other, got "${options.build}"`);
  const { cores: count = Math.min(availableParallelism(), CORES_MAX) } = options;
  if (!(Number.isInteger(count) && count >= 1 && count <= CORES_MAX))
    throw new Error(`engine cores: expected a whole number from 1 to ${CORES_MAX}, got ${count}`);
  const folder = options.cacheFolder ?? cacheFolder();
  const { build, notes, choice } = await chooseKernels(folder, reproducible ? 'plain' : options.build);
  const memory = new EngineMemory(memoryMaxBytes);
  const code = new KeptCode(folder, build);
  const kernels = loadKernels(memory.memory, { build, module: code.module });
  const { module } = kernels;
  const traits: KernelTraits = reproducible ? { ...kernels.traits, direct: true } : kernels.traits;
  memory.reserve(kernels.heapBase);
  const setup = { memory: memory.memory, build, module, blocks: CoreBlock.allocate(memory, count) };
  const cores = Array.from({ length: count }, (_, index) => new Core({ ...setup, index }));
  const [core] = cores as [Core, ...Core[]];
  const isOptimized = code.module !== undefined || choice === 'tried now';
  const started = withFirstSteps(core, memory, kernels, isOptimized);
  const short = new ShortRuns(started, kernels, memory);
  const dispatcher = new Dispatcher(
    { first: started, cores },
    {
      ...{ short, tenants: options.tenants, accelerators: accelerators.map(({ name }) => name) },
      ...{ memoryBytes: memory.freeBytes, onResidency: options.onResidency },
    },
  );
  /** Under V8's flags this call is compiled by the optimising compiler, if nothing else was. */
  const hasCode = (): boolean => started.isReady && kernels.faultWord() >= 0;
  const { residents } = dispatcher;
  const compiler = new CompileThread(memory.memory);
  const { compiler: compilerName = bundleName(import.meta.url) } = options;
  const programs = compilerName ? new KeptPrograms(join(folder, 'programs'), compilerName) : undefined;
  let closed = false;
  return {
    offloaded: dispatcher.offloaded,
    accelerators,
    expectedUs: (...run) => dispatcher.expectedUs(...run),
    get info() {
      return { build, reproducible, choice, notes, cores: count, memoryUsedBytes: memory.usedBytes, memoryMaxBytes };
    },
    get modelUses() {
      return residents.uses;
    },
    get recentRuns() {
      return dispatcher.timeline.runs;
    },
    async load(source, { name, folder, memoryMaxBytes: modelMaxBytes = memory.maxBytes, pinned = false }) {
      if (closed) throw new Error(`model "${name}": the engine is closed`);
      code.keepSoon(module, hasCode);
      const file = source instanceof Uint8Array ? memorySource(source) : source;
      const modelMemory = new ModelMemory(memory, name, modelMaxBytes);
      const base = { memory: modelMemory, dispatcher, compiler, traits };
      const open = async (residence: Residence, keep?: (whole: WholeProgram) => void): Promise<Model> => {
        const home = { ...base, residence };
        const { openModel } = await import('./open-model.ts');
        if (closed) throw new Error(`model "${name}": the engine is closed`);
        try {
          return await openModel(file, { name, folder }, { ...home, keep });
        } catch (error) {
          // Weights in Winograd's form take up to four times the room: others make room first, if they can.
          if (!(error instanceof MemoryLimitError) || traits.direct) throw error;
          if (residents.mayFit(residence.key, error)) throw error;
          modelMemory.startOver();
          return openModel(file, { name, folder }, { ...home, traits: { ...traits, direct: true } });
        }
      };
      const openKept = async (residence: Residence): Promise<Model> => {
        const home = { ...base, residence, source: { name, folder, file }, open: () => open(residence) };
        const kept = programs && recallModel(programs, home);
        return kept ?? open(residence, programs && ((whole) => void programs.keep(file, traits, whole)));
      };
      return residents.load({ name, pinned, memory: modelMemory, open: openKept });
    },
    async close() {
      closed = true;
      await residents.close();
      if (hasCode()) code.keep(module);
      await Promise.all([...cores.map((each) => each.close()), compiler.close(), programs?.settle()]);
    },
  };
}
