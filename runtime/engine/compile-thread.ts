/**
 * The thread that compiles while the engine serves: reading, compiling and packing a model for inputs of a new shape takes from 20 ms to
 * seconds, in which no event would get through. It is started with the first such shape and ended when none has come for a while. Weights
 * are packed where they will be used, in the memory that all threads share.
 *
 * Until the thread is ready, which takes longer than most programs to compile, small models are compiled on the calling thread.
 */
import type { Worker } from 'node:worker_threads';
import { UnsupportedError } from '../compile/program.ts';
import {
  type CompiledWhole,
  type CompileOrder,
  type FromCompiler,
  type Region,
  ROOM_CAPACITY,
  ROOM_GIVEN,
  ROOM_OFFSET,
  ROOM_REFUSED,
  ROOM_STATE,
  ROOM_WORDS,
  type SharedNews,
  type ToCompiler,
} from './compile-messages.ts';
import { workerUrl } from './worker-url.ts';

/** A thread that has nothing to do holds some 40 MB, and every model that it has read. */
const IDLE_MS = 60_000;
/** Larger files wait for the thread. */
const SMALL_BYTES_MAX = 16 * 2 ** 20;

export interface CompileJob {
  /**
   * What is to be compiled, once it is its turn. `isNew`: the thread knows nothing of the model that earlier orders told. Undefined when it is
   * not wanted any more.
   */
  order(isNew: (model: number) => boolean): CompileOrder | undefined;
  /** Makes room for the weights, of which so many bytes are in use. Throws a MemoryLimitError. */
  makeRoom(usedBytes: number, bytes: number): Region;
}

export interface Compiled {
  readonly whole: CompiledWhole | undefined;
  readonly news: SharedNews;
}

interface Current {
  readonly job: CompileJob;
  readonly promise: PromiseWithResolvers<Compiled>;
  /** Why there was no room. */
  refusal?: unknown;
}

export class CompileThread {
  readonly #memory: WebAssembly.Memory;
  readonly #room = new SharedArrayBuffer(4 * ROOM_WORDS);
  /** The models that the present thread has read. */
  readonly #known = new Set<number>();
  #worker: Worker | undefined;
  #current: Current | undefined;
  #last: Promise<unknown> = Promise.resolve();
  #idle: NodeJS.Timeout | undefined;
  #models = 0;
  #isServing = false;
  #isReady = false;
  #closed = false;

  constructor(memory: WebAssembly.Memory) {
    this.#memory = memory;
  }

  /** Whether a model of this size is to be compiled here: somebody is served, who should not wait for it. Starts the thread then. */
  takes(fileBytes: number): boolean {
    if (!this.#isServing || this.#closed) return false;
    this.#thread();
    return this.#isReady || fileBytes > SMALL_BYTES_MAX;
  }

  /** By which orders tell a model apart. */
  newModel(): number {
    return ++this.#models;
  }

  noteRun(): void {
    this.#isServing = true;
  }

  /**
   * One after the other. Undefined when the job was not wanted any more. Rejects with an UnsupportedError, with what `makeRoom` threw, or with an
   * Error: of the compiler, or because the thread has ended.
   */
  compile(job: CompileJob): Promise<Compiled | undefined> {
    const made = this.#last.then(() => this.#compile(job));
    this.#last = made.catch(() => {});
    return made;
  }

  forget(model: number): void {
    if (this.#known.delete(model)) this.#worker?.postMessage({ kind: 'forget', model } satisfies ToCompiler);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#idle);
    await this.#worker?.terminate();
  }

  async #compile(job: CompileJob): Promise<Compiled | undefined> {
    const worker = this.#thread();
    const order = job.order((model) => !this.#known.has(model));
    if (!order) return undefined;
    clearTimeout(this.#idle);
    const current: Current = { job, promise: Promise.withResolvers() };
    this.#current = current;
    this.#known.add(order.model);
    worker.ref();
    worker.postMessage(order satisfies ToCompiler);
    try {
      return await current.promise.promise;
    } catch (error) {
      this.#known.delete(order.model);
      throw error;
    } finally {
      this.#current = undefined;
      worker.unref();
      this.#endSoon();
    }
  }

  #endSoon(): void {
    clearTimeout(this.#idle);
    this.#idle = setTimeout(() => {
      const worker = this.#worker;
      this.#forgetThread();
      worker?.terminate();
    }, IDLE_MS).unref();
  }

  #forgetThread(): void {
    clearTimeout(this.#idle);
    this.#worker = undefined;
    this.#isReady = false;
    this.#known.clear();
  }

  #thread(): Worker {
    if (this.#closed) throw new Error('the engine is closed');
    if (this.#worker) return this.#worker;
    const { Worker: Thread } = process.getBuiltinModule('node:worker_threads');
    const workerData = { memory: this.#memory, room: this.#room };
    const worker = new Thread(workerUrl('compile-worker', import.meta.url), { workerData, execArgv: [] });
    worker.on('message', (message: FromCompiler) => this.#heard(message));
    worker.on('error', (cause) => this.#lose(worker, new Error('the compiling thread failed', { cause })));
    worker.on('exit', () => this.#lose(worker, new Error('the compiling thread ended')));
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  #heard(message: FromCompiler): void {
    if (message.kind === 'ready') {
      this.#isReady = true;
      this.#endSoon();
    }
    const current = this.#current;
    if (!current || message.kind === 'ready') return;
    if (message.kind === 'room') this.#giveRoom(current, message);
    else if (message.kind === 'compiled') current.promise.resolve(message);
    else current.promise.reject(current.refusal ?? errorOf(message));
  }

  #giveRoom(current: Current, { usedBytes, bytes }: Extract<FromCompiler, { kind: 'room' }>): void {
    const words = new Int32Array(this.#room);
    let state = ROOM_GIVEN;
    try {
      const { offset, capacity } = current.job.makeRoom(usedBytes, bytes);
      Atomics.store(words, ROOM_OFFSET, offset);
      Atomics.store(words, ROOM_CAPACITY, capacity);
    } catch (error) {
      current.refusal = error;
      state = ROOM_REFUSED;
    }
    Atomics.store(words, ROOM_STATE, state);
    Atomics.notify(words, ROOM_STATE);
  }

  #lose(worker: Worker, reason: Error): void {
    if (this.#worker !== worker) return;
    this.#forgetThread();
    this.#current?.promise.reject(reason);
  }
}

function errorOf({ message, isUnsupported, cause }: Extract<FromCompiler, { kind: 'failed' }>): Error {
  if (isUnsupported) return new UnsupportedError(message);
  return new Error(message, cause === undefined ? undefined : { cause: new Error(cause) });
}
