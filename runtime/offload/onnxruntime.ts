/**
 * Models that our own kernels do not run, by onnxruntime-web's WebAssembly provider, and models on a GPU, by onnxruntime-node's WebGPU. Each has a process of its own, since
 * V8's flags are for a whole process: those that serve our few kernels make the library, with its ten thousand
 * functions, take seconds to load and twice the memory.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { checkInputs } from '../engine/check-inputs.ts';
import type { Model, RunOptions, RunResult } from '../engine/model.ts';
import type { Tensor } from '../engine/tensor.ts';
import { type EngineValue, tensorsOf } from '../engine/value.ts';
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
  /** `webgpu` needs the optional package onnxruntime-node; onnxruntime-web's own WebAssembly when absent. */
  readonly provider?: Provider;
  /** A run (or the loading) that takes longer is ended with its process; 120 000 ms when absent. */
  readonly runMsMax?: number;
}

export type Provider = 'wasm' | 'webgpu';

const RUN_MS_MAX = 120_000;

/** A request as its sender states it; the number that finds the answer is given when it is sent. */
type Unnumbered<T> = T extends unknown ? Omit<T, 'id'> : never;

interface Waiting {
  resolve(reply: Reply & { kind: 'done' }): void;
  reject(error: Error): void;
  readonly timer: NodeJS.Timeout;
}

/** One process holds the library (its memory is large) and the sessions of all models; it lives while there are any. */
class OnnxruntimeProcess {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, Waiting>();
  #requests = 0;
  #sessions = 0;
  #endedBy: string | undefined;
  /** It takes no more requests: it has ended, or is about to. */
  ended = false;

  constructor(provider: Provider) {
    this.#child = fork(workerUrl('onnxruntime-worker', import.meta.url), [provider], {
      // Typed arrays cross as they are.
      serialization: 'advanced',
      execArgv: [],
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.#child.on('message', (reply) => this.#take(reply as Reply));
    this.#child.on('error', (error) => this.#end(error.message));
    this.#child.on('exit', (code, signal) => this.#end(this.#endedBy ?? signal ?? `code ${code}`));
    this.#keepAlive(false);
  }

  /** A number for a model's session. */
  openSession(): number {
    return ++this.#sessions;
  }

  send(request: Unnumbered<Request>, msMax: number): Promise<Reply & { kind: 'done' }> {
    if (this.ended) return Promise.reject(new Error('its process has ended'));
    const id = ++this.#requests;
    this.#keepAlive(true);
    return new Promise((resolve, reject) => {
      // A model from a file may compute for ever (a Loop); the library cannot be called back.
      const timer = setTimeout(() => {
        this.#endedBy = `no answer within ${msMax} ms`;
        this.ended = true;
        this.#child.kill('SIGKILL');
      }, msMax);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#child.send({ ...request, id });
    });
  }

  async stop(): Promise<void> {
    if (this.ended) return;
    this.ended = true;
    this.#keepAlive(true);
    this.#child.kill('SIGKILL');
    await once(this.#child, 'exit');
  }

  /** The child keeps this process alive only while somebody waits for an answer. */
  #keepAlive(alive: boolean): void {
    for (const handle of [this.#child, this.#child.channel]) {
      if (alive) handle?.ref();
      else handle?.unref();
    }
  }

  #take(reply: Reply): void {
    const waiting = this.#waiting.get(reply.id);
    clearTimeout(waiting?.timer);
    this.#waiting.delete(reply.id);
    if (this.#waiting.size === 0) this.#keepAlive(false);
    if (reply.kind === 'done') waiting?.resolve(reply);
    else waiting?.reject(new Error(reply.message));
  }

  #end(reason: string): void {
    this.ended = true;
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(new Error(`its process ended (${reason})`));
    }
    this.#waiting.clear();
  }
}

const shared = new Map<Provider, OnnxruntimeProcess>();
const openModels = new Set<OnnxruntimeModel>();

function sharedProcess(provider: Provider): OnnxruntimeProcess {
  const found = shared.get(provider);
  if (found && !found.ended) return found;
  const made = new OnnxruntimeProcess(provider);
  shared.set(provider, made);
  return made;
}

class OnnxruntimeModel implements Model {
  readonly name: string;
  readonly engine = 'onnxruntime';
  readonly fallbackReason: string;
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  readonly #runMsMax: number;
  readonly provider: Provider;
  readonly #load: (child: OnnxruntimeProcess, session: number) => Promise<unknown>;
  #home: { readonly child: OnnxruntimeProcess; readonly session: number; readonly ready: Promise<unknown> } | undefined;
  #last: Promise<unknown> = Promise.resolve();

  constructor(bytes: Uint8Array, options: OnnxruntimeOptions) {
    const file = readModel(bytes);
    this.name = options.name;
    this.fallbackReason = options.reason;
    this.#runMsMax = options.runMsMax ?? RUN_MS_MAX;
    this.provider = options.provider ?? 'wasm';
    this.inputs = file.graph.inputs;
    this.outputs = file.graph.outputs;
    this.#load = async (child, session) => {
      const externalData = file.externalFiles.map((path) => {
        if (options.folder === undefined)
          throw new Error(`its weights lie in "${path}" beside it, and no folder was given`);
        return { path, data: readExternalFile(options.folder, path) };
      });
      return child.send({ kind: 'load', session, bytes, externalData }, this.#runMsMax);
    };
  }

  /** Loads the model, again where the process that held it has died. */
  async ready(): Promise<{ readonly child: OnnxruntimeProcess; readonly session: number }> {
    if (!this.#home || this.#home.child.ended) {
      const child = sharedProcess(this.provider);
      const session = child.openSession();
      this.#home = { child, session, ready: this.#load(child, session) };
    }
    const home = this.#home;
    try {
      await home.ready;
    } catch (cause) {
      throw new Error(
        `model "${this.name}" needs onnxruntime (${this.fallbackReason}), which refuses it: ${(cause as Error).message}`,
        { cause },
      );
    }
    return home;
  }

  async run(
    values: Readonly<Record<string, EngineValue>>,
    options: Pick<RunOptions, 'signal'> = {},
  ): Promise<RunResult> {
    checkInputs(this.name, this.inputs, values);
    const inputs = tensorsOf(values);
    const submitted = performance.now();
    // One run of a model is with the process at a time, so that a waiting one can still be called back.
    const result = this.#last.then(async () => {
      options.signal?.throwIfAborted();
      return this.#runNow(inputs, submitted);
    });
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #runNow(inputs: Readonly<Record<string, Tensor>>, submitted: number): Promise<RunResult> {
    if (!openModels.has(this)) throw new Error(`model "${this.name}" is closed`);
    const { child, session } = await this.ready();
    try {
      const { outputs, runMs } = await child.send({ kind: 'run', session, inputs }, this.#runMsMax);
      return { outputs, runMs, queueMs: Math.max(0, performance.now() - submitted - runMs) };
    } catch (cause) {
      throw new Error(`model "${this.name}": onnxruntime failed to run it: ${(cause as Error).message}`, { cause });
    }
  }

  async close(): Promise<void> {
    if (!openModels.delete(this)) return;
    const home = this.#home;
    if (!home || home.child.ended) return;
    const isLast = ![...openModels].some(({ provider }) => provider === this.provider);
    if (isLast) await home.child.stop();
    // A process that ends meanwhile has released it as well.
    else await home.child.send({ kind: 'release', session: home.session }, this.#runMsMax).catch(() => undefined);
  }
}

/** Loads a model into onnxruntime; of a run's options it obeys the signal, QueuedModel the others. Rejects with an Error when the file is no valid model, or the library is missing or refuses it. */
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
