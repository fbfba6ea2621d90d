/** One core: a thread that executes programs over the engine's memory, one segment at a time. */
import { Worker } from 'node:worker_threads';
import type { CoreSetup, Segment, Stop } from './core-messages.ts';
import { workerUrl } from './worker-url.ts';

export class Core {
  readonly #setup: CoreSetup;
  #worker: Worker | undefined;
  #waiting: PromiseWithResolvers<Stop> | undefined;
  #closed = false;

  constructor(setup: CoreSetup) {
    this.#setup = setup;
  }

  /** Starts the thread ahead of the first segment: that takes as long as reading a model. */
  start(): void {
    this.#thread();
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
    // A thread that waits for work keeps no process alive.
    worker.unref();
    worker.on('message', (stop: Stop) => {
      worker.unref();
      this.#waiting?.resolve(stop);
    });
    worker.on('error', (cause) => this.#lose(worker, new Error('the computing thread failed', { cause })));
    worker.on('exit', () => this.#lose(worker, new Error('the computing thread ended')));
    this.#worker = worker;
    return worker;
  }

  /** A thread that fails says so first and ends later: by then the next run may be with another one. */
  #lose(worker: Worker, reason: Error): void {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#waiting?.reject(reason);
  }
}
