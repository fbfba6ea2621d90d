/** One core: a thread that executes programs over the engine's memory, one segment at a time. */
import { Worker } from 'node:worker_threads';
import { type CoreSetup, READY, type Segment, type Stop } from './core-messages.ts';
import { workerUrl } from './worker-url.ts';

export class Core {
  readonly #setup: CoreSetup;
  #worker: Worker | undefined;
  #ready: PromiseWithResolvers<void> | undefined;
  #waiting: PromiseWithResolvers<Stop> | undefined;
  #isReady = false;
  #closed = false;

  constructor(setup: CoreSetup) {
    this.#setup = setup;
  }

  /** Starts the thread ahead of the first segment. Resolves when it is ready, rejects when it cannot be. */
  start(): Promise<void> {
    this.#thread();
    return (this.#ready as PromiseWithResolvers<void>).promise;
  }

  /** The thread has compiled code for its flags: V8's, which hold for all threads, are set. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /**
   * Executes until the program is done, faults, or the flag is set. One call at a time. Rejects when the thread dies;
   * the next call starts another.
   */
  async execute(segment: Segment): Promise<Stop> {
    const worker = this.#thread();
    worker.ref();
    this.#waiting = Promise.withResolvers();
    worker.postMessage(segment);
    return this.#waiting.promise;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }

  #thread(): Worker {
    if (this.#closed) throw new Error('the engine is closed');
    if (this.#worker) return this.#worker;
    const worker = new Worker(workerUrl('core-worker', import.meta.url), { workerData: this.#setup, execArgv: [] });
    const ready = Promise.withResolvers<void>();
    // Whoever did not wait for it hears from `execute`.
    ready.promise.catch(() => {});
    this.#ready = ready;
    worker.on('message', (message: Stop | typeof READY) => {
      if (message === READY) {
        this.#isReady = true;
        ready.resolve();
        return;
      }
      worker.unref();
      this.#waiting?.resolve(message);
    });
    worker.on('error', (cause) => this.#lose(worker, new Error('the computing thread failed', { cause })));
    worker.on('exit', () => this.#lose(worker, new Error('the computing thread ended')));
    // A thread that waits for work keeps no process alive. Last, as listeners hold the process again.
    worker.unref();
    this.#worker = worker;
    return worker;
  }

  /** A thread that fails says so first and ends later: by then the next run may be with another one. */
  #lose(worker: Worker, reason: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#ready?.reject(reason);
    this.#waiting?.reject(reason);
  }
}
