/** Models that our own kernels do not run, by onnxruntime-web's WebAssembly provider in a worker of its own. */
import { Worker } from 'node:worker_threads';
import { checkInputs } from '../engine/check-inputs.ts';
import type { Model, RunOptions, RunResult } from '../engine/model.ts';
import type { Tensor } from '../engine/tensor.ts';
import { workerUrl } from '../engine/worker-url.ts';
import { readExternalFile } from '../onnx/external-io.ts';
import { readModel } from '../onnx/read.ts';
import type { Reply, Request } from './onnxruntime-messages.ts';

export interface OnnxruntimeOptions {
  readonly name: string;
  /** Why our own kernels do not run the model; kept as `fallbackReason`. */
  readonly reason: string;
  /** Folder of the model file, for weights that lie beside it. */
  readonly folder?: string;
}

/** A request as its sender states it; the number that finds the answer is given when it is sent. */
type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;

interface Waiting {
  resolve(reply: Reply & { kind: 'done' }): void;
  reject(error: Error): void;
}

/** One worker holds the library (its memory is large) and the sessions of all models; it lives while there are any. */
class OnnxruntimeWorker {
  readonly #worker = new Worker(workerUrl('onnxruntime-worker', import.meta.url), { execArgv: [] });
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;
  #sessions = 0;
  ended = false;

  constructor() {
    this.#worker.on('message', (reply: Reply) => this.#take(reply));
    this.#worker.on('error', (error) => this.#end(error));
    this.#worker.on('exit', () => this.#end(new Error('it was stopped')));
    this.#worker.unref();
  }

  /** A number for a model's session. */
  openSession(): number {
    return ++this.#sessions;
  }

  send(request: Unnumbered<Request>): Promise<Reply & { kind: 'done' }> {
    if (this.ended) return Promise.reject(new Error('its worker has ended'));
    const id = ++this.#requests;
    // The worker keeps the process alive only while somebody waits for it.
    this.#worker.ref();
    return new Promise((resolve, reject) => {
      this.#waiting.set(id, { resolve, reject });
      this.#worker.postMessage({ ...request, id });
    });
  }

  async stop(): Promise<void> {
    this.ended = true;
    await this.#worker.terminate();
  }

  #take(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#worker.unref();
    if (reply.kind === 'done') waiting?.resolve(reply);
    else waiting?.reject(new Error(reply.message));
  }

  #end(error: unknown): void {
    this.ended = true;
    const reason = error instanceof Error ? error.message : String(error);
    for (const { reject } of this.#waiting.values()) reject(new Error(`onnxruntime's worker ended: ${reason}`));
    this.#waiting.clear();
  }
}

let shared: OnnxruntimeWorker | undefined;
const openModels = new Set<OnnxruntimeModel>();

function sharedWorker(): OnnxruntimeWorker {
  if (!shared || shared.ended) shared = new OnnxruntimeWorker();
  return shared;
}

class OnnxruntimeModel implements Model {
  readonly name: string;
  readonly engine = 'onnxruntime';
  readonly fallbackReason: string;
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  readonly #load: (worker: OnnxruntimeWorker, session: number) => Promise<unknown>;
  #home: { readonly worker: OnnxruntimeWorker; readonly session: number; readonly ready: Promise<unknown> } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(bytes: Uint8Array, options: OnnxruntimeOptions) {
    const file = readModel(bytes);
    this.name = options.name;
    this.fallbackReason = options.reason;
    this.inputs = file.graph.inputs;
    this.outputs = file.graph.outputs;
    this.#load = async (worker, session) => {
      const externalData = file.externalFiles.map((path) => {
        if (options.folder === undefined)
          throw new Error(`its weights lie in "${path}" beside it, and no folder was given`);
        return { path, data: readExternalFile(options.folder, path) };
      });
      return worker.send({ kind: 'load', session, bytes, externalData });
    };
  }

  /** Loads the model, again where the worker that held it has died. */
  async ready(): Promise<{ readonly worker: OnnxruntimeWorker; readonly session: number }> {
    if (!this.#home || this.#home.worker.ended) {
      const worker = sharedWorker();
      const session = worker.openSession();
      this.#home = { worker, session, ready: this.#load(worker, session) };
    }
    const home = this.#home;
    try {
      await home.ready;
    } catch (cause) {
      throw new Error(`model "${this.name}": onnxruntime refuses it: ${(cause as Error).message}`, { cause });
    }
    return home;
  }

  async run(inputs: Readonly<Record<string, Tensor>>, options: RunOptions = {}): Promise<RunResult> {
    checkInputs(this.name, this.inputs, inputs);
    const submitted = performance.now();
    // One run of a model is with the worker at a time, so that a waiting one can still be called back.
    const result = this.#last.then(async () => {
      options.signal?.throwIfAborted();
      return this.#runNow(inputs, submitted);
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #runNow(inputs: Readonly<Record<string, Tensor>>, submitted: number): Promise<RunResult> {
    if (!openModels.has(this)) throw new Error(`model "${this.name}" is closed`);
    const { worker, session } = await this.ready();
    try {
      const { outputs, runMs } = await worker.send({ kind: 'run', session, inputs });
      return { outputs, runMs, queueMs: Math.max(0, performance.now() - submitted - runMs) };
    } catch (cause) {
      throw new Error(`model "${this.name}": onnxruntime failed to run it: ${(cause as Error).message}`, { cause });
    }
  }

  async close(): Promise<void> {
    if (!openModels.delete(this)) return;
    const home = this.#home;
    if (!home || home.worker.ended) return;
    if (openModels.size === 0) await home.worker.stop();
    else await home.worker.send({ kind: 'release', session: home.session });
  }
}

/** Loads a model into onnxruntime. Rejects with an Error when the file is no valid model, or the library is missing or refuses it. */
export async function loadOnnxruntime(bytes: Uint8Array, options: OnnxruntimeOptions): Promise<Model> {
  const model = new OnnxruntimeModel(bytes, options);
  openModels.add(model);
  try {
    await model.ready();
  } catch (error) {
    await model.close();
    throw error;
  }
  return model;
}
