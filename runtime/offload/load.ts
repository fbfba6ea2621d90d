/** One way to load a model, whichever engine runs it. */
import { UnsupportedError } from '../compile/program.ts';
import type { Accelerator } from '../engine/accelerator.ts';
import type { Engine, LoadOptions } from '../engine/engine.ts';
import type { Model, RunOptions, RunResult } from '../engine/model.ts';
import type { EngineValue } from '../engine/value.ts';
import type { ByteSource } from '../onnx/byte-source.ts';
import { loadOnnxruntime } from './onnxruntime.ts';
import { PlacedModel, type PlaceOfModel } from './placed-model.ts';
import { QueuedModel } from './queued-model.ts';

/**
 * Loads an ONNX model into our own engine, or, where that lacks something the model needs, into onnxruntime: then
 * `model.engine` and `model.fallbackReason` say so. A reproducible engine has no such way out. Rejects with an Error when the file is no valid model.
 * The file must not change afterwards.
 */
export async function loadModel(engine: Engine, file: Uint8Array | ByteSource, options: LoadOptions): Promise<Model> {
  const fallBack = async (error: unknown): Promise<Model> => {
    if (!(error instanceof UnsupportedError)) throw error;
    if (engine.info.reproducible)
      throw new Error(
        `model "${options.name}": expected one that our kernels can run, as reproducible results are asked for, but onnxruntime would be needed: ${error.message}`,
        { cause: error },
      );
    const bytes = file instanceof Uint8Array ? file : file.read(0, file.byteLength);
    return new QueuedModel(await loadOnnxruntime(bytes, { ...options, reason: error.message }), engine.offloaded);
  };
  const model = await engine.load(file, options).then((own) => new ModelWithFallback(own, fallBack), fallBack);
  const wanted = engine.accelerators.filter(({ name }) => options.runsOn?.includes(name));
  // Others sum up in another order, and do not say in which.
  return wanted.length > 0 && !engine.info.reproducible ? placed(engine, file, options, model, wanted) : model;
}

async function placed(
  engine: Engine,
  file: Uint8Array | ByteSource,
  { name, folder }: LoadOptions,
  own: Model,
  wanted: readonly Accelerator[],
): Promise<Model> {
  const bytes = file instanceof Uint8Array ? file : file.read(0, file.byteLength);
  const places: PlaceOfModel[] = [];
  for (const accelerator of wanted)
    try {
      const model = new QueuedModel(
        await accelerator.load(bytes, { name, folder }),
        engine.offloaded,
        accelerator.name,
      );
      places.push({ accelerator, model });
    } catch (error) {
      accelerator.tell(name, `is not computed there: ${(error as Error).message}`);
    }
  return places.length > 0 ? new PlacedModel(engine, own, places) : own;
}

/**
 * Some needs show only when the shapes of the inputs are known, that is at a run. The model then changes engines with
 * that run, and says so from then on.
 */
class ModelWithFallback implements Model {
  #model: Model;
  readonly #fallBack: (error: unknown) => Promise<Model>;
  #change: Promise<void> | undefined;
  readonly #running = new Set<Promise<RunResult>>();
  #closed = false;

  constructor(model: Model, fallBack: (error: unknown) => Promise<Model>) {
    this.#model = model;
    this.#fallBack = fallBack;
  }

  get name(): string {
    return this.#model.name;
  }

  get engine(): Model['engine'] {
    return this.#model.engine;
  }

  get fallbackReason(): string | undefined {
    return this.#model.fallbackReason;
  }

  get inputs(): Model['inputs'] {
    return this.#model.inputs;
  }

  get outputs(): Model['outputs'] {
    return this.#model.outputs;
  }

  async run(inputs: Readonly<Record<string, EngineValue>>, options?: RunOptions): Promise<RunResult> {
    // A change that failed leaves our own engine in charge of the shapes that it can run.
    await this.#change?.catch(() => undefined);
    const model = this.#model;
    const running = model.run(inputs, options);
    this.#running.add(running);
    try {
      return await running;
    } catch (error) {
      if (!(error instanceof UnsupportedError) || this.#closed) throw error;
      // Runs that fail together change engines once.
      if (model === this.#model) {
        this.#change ??= this.#changeEngine(error).finally(() => {
          this.#change = undefined;
        });
        await this.#change;
      }
      return this.#model.run(inputs, options);
    } finally {
      this.#running.delete(running);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#change?.catch(() => undefined);
    await this.#model.close();
  }

  async #changeEngine(error: UnsupportedError): Promise<void> {
    const own = this.#model;
    this.#model = await this.#fallBack(error);
    // Closing a model ends its runs: those of shapes that it can do shall have their answers first.
    await Promise.allSettled(this.#running);
    await own.close();
  }
}
