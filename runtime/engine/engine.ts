/** The engine: one memory, one core, and the models that run on them by our own kernels. */

import type { ByteSource } from '../onnx/byte-source.ts';
import { externalReader } from '../onnx/external-io.ts';
import { readModel } from '../onnx/read.ts';
import { hasOperator } from '../ops/index.ts';
import { Core } from './core.ts';
import { Dispatcher } from './dispatcher.ts';
import { EngineModel } from './engine-model.ts';
import { type KernelBuild, loadKernels, prepareV8 } from './kernels.ts';
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
}

export interface EngineInfo {
  readonly build: KernelBuild;
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

export async function createEngine(options: EngineOptions = {}): Promise<Engine> {
  const memoryMaxBytes = options.memoryMaxBytes ?? freeBytes();
  if (!(memoryMaxBytes >= MEMORY_BYTES_MIN && memoryMaxBytes <= MEMORY_BYTES_MAX)) {
    throw new Error(
      `engine memory: expected a limit from ${MEMORY_BYTES_MIN} to ${MEMORY_BYTES_MAX} bytes, got ${memoryMaxBytes}`,
    );
  }
  prepareV8();
  const memory = new EngineMemory(memoryMaxBytes);
  const kernels = loadKernels(memory.memory, { build: options.build });
  memory.reserve(kernels.heapBase);
  const { build, module, notes, panel } = kernels;
  const core = new Core({ memory: memory.memory, build, module });
  const dispatcher = new Dispatcher(core, memory);
  const models = new Set<Model>();
  let closed = false;
  return {
    get info() {
      return { build, notes, memoryUsedBytes: memory.usedBytes, memoryMaxBytes };
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
      // While the caller prepares its first input, the thread gets ready.
      core.start();
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
