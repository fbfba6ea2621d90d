/** The engine, and what triggers are made of, come with the first model: an idle node stays small. */
import assert from 'node:assert';
import { availableParallelism } from 'node:os';
import type { Logger } from 'pino';
import type { Accelerator } from '../../runtime/engine/accelerator.ts';
import type { Engine } from '../../runtime/engine/engine.ts';
import type { Model } from '../../runtime/engine/model.ts';
import type { NodeMemory } from '../../runtime/protocol/messages.ts';
import type { SettingName, Settings } from '../../runtime/protocol/settings.ts';
import type { TimelineRun } from '../../runtime/schedule/timeline.ts';

type Pipelines = typeof import('../../runtime/triggers/pipeline.ts');

export interface LoaderOptions {
  /** Bounds the memory of each model; what the machine has free when absent. */
  readonly modelMaxBytes?: number | undefined;
  /** As the engine's option: the same bits on every machine. */
  readonly reproducible?: boolean | undefined;
  /** Models that may run on a GPU, too. */
  readonly onGpu?: readonly string[] | undefined;
}

/** Settings that the engine takes when it is made. */
const ENGINE_SETTINGS = ['memoryBudgetMb', 'pinned', 'tenants'] as const satisfies readonly SettingName[];
type EngineSettings = Pick<Settings, (typeof ENGINE_SETTINGS)[number]>;

export class Loader {
  readonly #log: Logger;
  #engine: Promise<Engine> | undefined;
  #pipelines: Pipelines | undefined;
  /** The kernel build in use; undefined until the first model is loaded. */
  simd: string | undefined;
  /** Cores that compute. */
  cores = availableParallelism();
  #recentRuns: () => readonly TimelineRun[] = () => [];
  #memory: () => NodeMemory | undefined = () => undefined;

  readonly #data: string;
  readonly #options: LoaderOptions;
  #settings: EngineSettings = {};
  /** Those that the engine was made with. */
  #made: EngineSettings | undefined;

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
    const engine = await this.#engine;
    const pinned = this.#made?.pinned?.includes(name) ?? false;
    const runsOn = this.#options.onGpu?.includes(name) ? ['gpu'] : [];
    const memoryMaxBytes = this.#options.modelMaxBytes;
    return loadModel(engine, fileSource(path), { name, memoryMaxBytes, pinned, runsOn });
  };

  /** Takes settings for the engine; returns those that wait for the next start, because it was made with others. */
  configure(settings: EngineSettings): ReadonlySet<SettingName> {
    this.#settings = settings;
    const made = this.#made;
    if (!made) return new Set();
    return new Set(ENGINE_SETTINGS.filter((name) => JSON.stringify(settings[name]) !== JSON.stringify(made[name])));
  }

  /** No trigger starts before its models are loaded. */
  createPipeline: Pipelines['createPipeline'] = (...parameters) => {
    assert(this.#pipelines, 'a trigger was started before any model was loaded');
    return this.#pipelines.createPipeline(...parameters);
  };

  /** The engine's; none before the first model. */
  recentRuns = (): readonly TimelineRun[] => this.#recentRuns();

  /** What models take of the memory; undefined before the first model. */
  memory = (): NodeMemory | undefined => this.#memory();

  async close(): Promise<void> {
    const engine = await this.#engine?.catch(() => undefined);
    await engine?.close();
  }

  /** A probe computes for some time, in a process of its own: only where a model may use what it finds. */
  async #accelerators(): Promise<readonly Accelerator[]> {
    if (!this.#options.onGpu?.length) return [];
    const { acceleratorsOf } = await import('../../runtime/offload/accelerators.ts');
    const { probeGpu } = await import('../../runtime/offload/probe.ts');
    const probe = await probeGpu();
    this.#log.info({ usable: probe.usable }, `GPU: ${probe.detail}`);
    return acceleratorsOf(probe, (model, news) => this.#log.info({ model }, `GPU: model "${model}" ${news}`));
  }

  async #createEngine(): Promise<Engine> {
    const { createEngine } = await import('../../runtime/engine/engine.ts');
    const { reproducible } = this.#options;
    const { memoryBudgetMb, tenants } = this.#settings;
    this.#made = this.#settings;
    const engine = await createEngine({
      cacheFolder: this.#data,
      ...{ reproducible, tenants, memoryMaxBytes: memoryBudgetMb && memoryBudgetMb * 1e6 },
      accelerators: await this.#accelerators(),
      onResidency: (model, change) => this.#log.info({ model }, `model ${change}: the memory does not hold all`),
    });
    const { build, notes } = engine.info;
    this.#log.info({ build, reproducible: engine.info.reproducible, notes }, 'engine ready');
    this.simd = engine.info.build;
    this.cores = engine.info.cores;
    this.#recentRuns = () => engine.recentRuns;
    this.#memory = () => memoryOf(engine, this.#made?.pinned);
    return engine;
  }
}

function memoryOf({ info, modelUses }: Engine, pinned: readonly string[] = []): NodeMemory {
  const pinnedUnknown = pinned.filter((wanted) => !modelUses.some(({ name }) => name === wanted));
  return { budgetBytes: info.memoryMaxBytes, usedBytes: info.memoryUsedBytes, models: [...modelUses], pinnedUnknown };
}
