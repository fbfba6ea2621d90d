/** The engine, and what triggers are made of, come with the first model: an idle node stays small. */
import assert from 'node:assert';
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { Engine } from '../../runtime/engine/engine.ts';
import type { Model } from '../../runtime/engine/model.ts';
import type { TenantSpec } from '../../runtime/schedule/events.ts';
import type { TimelineRun } from '../../runtime/schedule/timeline.ts';

type Pipelines = typeof import('../../runtime/triggers/pipeline.ts');

export interface LoaderOptions {
  /** Bounds the memory of each model, and that of all of them together; what the machine has free when absent. */
  readonly modelMaxBytes?: number | undefined;
  readonly memoryMaxBytes?: number | undefined;
  /** Models that stay in memory. */
  readonly pinned?: readonly string[] | undefined;
  /** As the engine's options: the same bits on every machine; whose runs are told apart. */
  readonly reproducible?: boolean | undefined;
  readonly tenants?: readonly TenantSpec[];
}

export class Loader {
  readonly #log: Logger;
  #engine: Promise<Engine> | undefined;
  #pipelines: Pipelines | undefined;
  /** The kernel build in use; undefined until the first model is loaded. */
  simd: string | undefined;
  /** Cores that compute. */
  cores = availableParallelism();
  #recentRuns: () => readonly TimelineRun[] = () => [];

  readonly #data: string;
  readonly #options: LoaderOptions;

  /** `data` is the node's folder. */
  constructor(log: Logger, data: string, options: LoaderOptions) {
    this.#log = log;
    this.#data = data;
    this.#options = options;
  }

  load = async (path: string, name: string): Promise<Model> => {
    const { fileSource } = await import('../../runtime/onnx/file-io.ts');
    const { loadModel } = await import('../../runtime/offload/load.ts');
    this.#pipelines = await import('../../runtime/triggers/pipeline.ts');
    this.#engine ??= this.#createEngine();
    const { modelMaxBytes, pinned = [] } = this.#options;
    const limits = { memoryMaxBytes: modelMaxBytes, pinned: pinned.includes(name) };
    return loadModel(await this.#engine, fileSource(path), { name, ...limits });
  };

  /** No trigger starts before its models are loaded. */
  createPipeline: Pipelines['createPipeline'] = (...parameters) => {
    assert(this.#pipelines, 'a trigger was started before any model was loaded');
    return this.#pipelines.createPipeline(...parameters);
  };

  /** The engine's; none before the first model. */
  recentRuns = (): readonly TimelineRun[] => this.#recentRuns();

  async close(): Promise<void> {
    const engine = await this.#engine?.catch(() => undefined);
    await engine?.close();
  }

  async #createEngine(): Promise<Engine> {
    const { createEngine } = await import('../../runtime/engine/engine.ts');
    const { reproducible, tenants, memoryMaxBytes } = this.#options;
    const engine = await createEngine({
      cacheFolder: this.#data,
      ...{ reproducible, tenants, memoryMaxBytes },
      onResidency: (model, change) => this.#log.info({ model }, `model ${change}: the memory does not hold all`),
    });
    const { build, notes } = engine.info;
    this.#log.info({ build, reproducible: engine.info.reproducible, notes }, 'engine ready');
    this.simd = engine.info.build;
    this.cores = engine.info.cores;
    this.#recentRuns = () => engine.recentRuns;
    return engine;
  }
}
