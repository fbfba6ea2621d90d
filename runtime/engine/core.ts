/** One core: a thread that executes programs over the engine's memory, one segment at a time, or helps another core with its run. */
import type { Worker } from 'node:worker_threads';
import { CoreBlock } from './core-block.ts';
import { type CoreSetup, READY, type Segment, type Stop, WENT_ON } from './core-messages.ts';
import { NextRun } from './next-run.ts';
import { workerUrl } from './worker-url.ts';

export class Core {
  readonly block: CoreBlock;
  /** The same for all cores. */
  readonly next: NextRun;
  /** Is called when the thread has gone on with the next run. */
  onWentOn: () => void = () => {};
  readonly #setup: CoreSetup;
  #worker: Worker | undefined;
  #ready: PromiseWithResolvers<void> | undefined;
  #waiting: PromiseWithResolvers<Stop> | undefined;
  /** Those that take part in its present run; and whose run it takes part in, as far as is known. */
  #helpers: readonly Core[] = [];
  #owner: Core | undefined;
  #isReady = false;
  #closed = false;

  constructor(setup: CoreSetup) {
    this.#setup = setup;
    this.block = new CoreBlock(setup.memory, setup.blocks, setup.index);
    this.next = new NextRun(setup.memory, setup.blocks);
  }

  /** Starts the thread ahead of the first segment. Resolves when it is ready, rejects when it cannot be. */
  start(): Promise<void> {
    this.#thread();
    return (this.#ready as PromiseWithResolvers<void>).promise;
  }

  /** The thread can compute at once. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** Its orders go to a thread: see FirstSteps. */
  get hasThread(): boolean {
    return this.#worker !== undefined;
  }

  /**
   * Executes until the program is done, faults, or the flag is set; bases and flag are those of the block, lanes and helpers too. One call at
   * a time. Rejects when the thread dies, or that of a helper; the next call starts another.
   */
  async execute({ words, pc }: Segment, helpers: readonly Core[] = []): Promise<Stop> {
    const worker = this.#thread();
    worker.ref();
    this.#waiting = Promise.withResolvers();
    this.#helpers = helpers;
    this.#owner = undefined;
    this.block.setSegment(words, pc);
    this.block.order(this.block.index);
    for (const helper of helpers) {
      helper.#owner = this;
      helper.block.order(this.block.index);
    }
    return this.#waiting.promise;
  }

  /** The thread has gone on with the next run by itself: how that one stops, in place of the one before. */
  async goOn(): Promise<Stop> {
    if (!this.#worker) throw new Error('the computing thread ended');
    this.#waiting = Promise.withResolvers();
    this.#helpers = [];
    return this.#waiting.promise;
  }

  async close(): Promise<void> {
    this.#closed = true;
    await this.#worker?.terminate();
  }

  #thread(): Worker {
    if (this.#closed) throw new Error('the engine is closed');
    if (this.#worker) return this.#worker;
    this.block.reset();
    // Loaded with the first thread: a process that answers little has none.
    const { Worker: Thread } = process.getBuiltinModule('node:worker_threads');
    const worker = new Thread(workerUrl('core-worker', import.meta.url), { workerData: this.#setup, execArgv: [] });
    const ready = Promise.withResolvers<void>();
    // Whoever did not wait for it hears from `execute`.
    ready.promise.catch(() => {});
    this.#ready = ready;
    worker.on('message', (message: Stop | typeof READY | typeof WENT_ON) => {
      if (message === READY) {
        this.#isReady = true;
        ready.resolve();
        return;
      }
      if (message === WENT_ON) {
        this.onWentOn();
        return;
      }
      worker.unref();
      // All chunks that others have taken of the run are done by now.
      this.#helpers = [];
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
  async #lose(worker: Worker, reason: Error): Promise<void> {
    if (this.#worker !== worker) return;
    this.#worker = undefined;
    this.#isReady = false;
    this.#ready?.reject(reason);
    const waiting = this.#waiting;
    // Of a run that several cores compute all end, as none must write into memory that is somebody else's next.
    // A helper that comes late looks at the next run of whom it was to help.
    const owner = this.#owner;
    const others = owner && owner.#helpers.length > 0 ? [owner, ...owner.#helpers] : this.#helpers;
    await Promise.all(others.map((other) => other !== this && other.#worker?.terminate()));
    waiting?.reject(reason);
  }
}
