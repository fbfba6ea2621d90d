/** The engine: one memory, one core, and the models that run on them by our own kernels. */

import type { ByteSource } from '../onnx/byte-source.ts';
import { externalReader } from '../onnx/external-io.ts';
import { readModel } from '../onnx/read.ts';
import { hasOperator } from '../ops/index.ts';
import { cacheFolder, keepBuild, recallBuild } from './build-choice-io.ts';
import type { BuildChoice } from './choose-build.ts';
import { Core } from './core.ts';
import { Dispatcher } from './dispatcher.ts';
import { EngineModel } from './engine-model.ts';
import { type KernelBuild, loadKernels } from './kernels.ts';
import { EngineMemory } from './memory.ts';
import type { Model } from './model.ts';
import { ModelMemory } from './model-memory.ts';

const MEBIBYTE = 2 ** 20;
const MEMORY_BYTES_MIN = 2 * MEBIBYTE;
/** What a 32-bit WebAssembly memory can address. */
const MEMORY_BYTES_MAX = 4096 * MEBIBYTE;

export interface EngineOptions {
  /** Which kernels to use; the fastest that prove right on this machine when absent. */
  readonly build?: KernelBuild;
  /**
   * Bound on the memory that weights, programs and runs of all models take together; when absent, what this machine (or
   * the container around the process) has free, less a quarter for everything else, at most 4 GiB.
   */
  readonly memoryMaxBytes?: number;
  /** Where the choice of a build is kept from one start to the next; the user's cache folder when absent. */
  readonly cacheFolder?: string;
}

export interface EngineInfo {
  readonly build: KernelBuild;
  /** How the engine came to this build. */
  readonly choice: 'asked for' | 'tried now' | 'kept from an earlier start';
  /** What was found out about this machine, in sentences. */
  readonly notes: readonly string[];
  readonly memoryUsedBytes: number;
  readonly memoryMaxBytes: number;
}

export interface LoadOptions {
  readonly name: string;
  /** Where weights beside the model file are looked for. */
  readonly folder?: string;
  /** Bound on the memory that the model's weights, programs and runs take together; the engine's own when absent. */
  readonly memoryMaxBytes?: number;
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
  /** Sets the run that is being computed aside, in favour of those that wait; it is resumed after them. */
  suspend(): void;
  /** Ends all runs (they reject) and gives thread and memory back. */
  close(): Promise<void>;
}

async function chooseKernels(options: EngineOptions): Promise<BuildChoice & Pick<EngineInfo, 'choice'>> {
  if (options.build) return { build: options.build, notes: [], choice: 'asked for' };
  const folder = options.cacheFolder ?? cacheFolder();
  const kept = recallBuild(folder);
  if (kept) return { ...kept, choice: 'kept from an earlier start' };
  const { chooseBuild } = await import('./choose-build.ts');
  const made = chooseBuild();
  keepBuild(folder, made);
  return { ...made, choice: 'tried now' };
}

export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const memoryMaxBytes = options.memoryMaxBytes ?? freeBytes();
  if (!(memoryMaxBytes >= MEMORY_BYTES_MIN && memoryMaxBytes <= MEMORY_BYTES_MAX)) {
    throw new Error(
      `engine memory: expected a limit from ${MEMORY_BYTES_MIN} to ${MEMORY_BYTES_MAX} bytes, got ${memoryMaxBytes}`,
    );
  }
  const { build, notes, choice } = await chooseKernels(options);
  const memory = new EngineMemory(memoryMaxBytes);
  const { module, heapBase, panel } = loadKernels(memory.memory, { build });
  memory.reserve(heapBase);
  const core = new Core({ memory: memory.memory, build, module });
  core.start();
  const dispatcher = new Dispatcher(core, memory);
  const models = new Set<Model>();
  let closed = false;
  return {
    get info() {
      return { build, choice, notes, memoryUsedBytes: memory.usedBytes, memoryMaxBytes };
    },
    async load(source, { name, folder, memoryMaxBytes: modelMaxBytes = memory.maxBytes }) {
      if (closed) throw new Error(`model "${name}": the engine is closed`);
      const readExternal = folder === undefined ? undefined : externalReader(folder);
      const file = readModel(source, { readExternal, hasOperator });
      const model = new EngineModel(file, name, source.byteLength, {
        memory: new ModelMemory(memory, name, modelMaxBytes),
        ...{ dispatcher, panel, models },
      });
      try {
        model.compileAhead();
      } catch (error) {
        await model.close();
        throw error;
      }
      return model;
    },
    suspend: () => dispatcher.suspend(),
    async close() {
      closed = true;
      await Promise.all([...models].map((model) => model.close()));
      await core.close();
    },
  };
}
