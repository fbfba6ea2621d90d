/**
 * Programs for several runs of a program that was kept from an earlier start. The thread that compiles reads the model's file for them; here
 * it stays unread. Their weights lie beside those that were kept, once for all of them.
 */
import type { KernelTraits } from '../compile/traits.ts';
import { BATCH_SIZES, type Batches, batchesToMake } from './batches.ts';
import type { CompileOrder } from './compile-messages.ts';
import type { CompileThread } from './compile-thread.ts';
import { given, type ModelSource } from './elsewhere.ts';
import { LoadedProgram } from './loaded-program.ts';
import type { Blocks } from './memory.ts';
import { MemoryWeights } from './memory-weights.ts';
import type { Tensor, ValueDescription } from './tensor.ts';

type Inputs = Readonly<Record<string, Tensor>>;

export interface KeptBatchesSetup {
  readonly source: ModelSource;
  readonly memory: Blocks;
  readonly compiler: CompileThread;
  /** What the kept program was made for. */
  readonly traits: KernelTraits;
}

export class KeptBatches {
  readonly #setup: KeptBatchesSetup;
  readonly #programs: LoadedProgram[] = [];
  #weights: MemoryWeights | undefined;
  #making: Promise<void> | undefined;
  #closed = false;

  constructor(setup: KeptBatchesSetup) {
    this.#setup = setup;
  }

  /** More runs wait for the program than there are cores. */
  want(single: LoadedProgram, descriptions: readonly ValueDescription[], inputs: Inputs, nowUs: number): void {
    const { source, compiler } = this.#setup;
    const isForThread = (): boolean => source.file.path !== undefined && compiler.takes(source.file.byteLength);
    const batches = this.#closed ? undefined : batchesToMake(single, descriptions, inputs, isForThread, nowUs);
    // Without them each run is computed alone, as before.
    if (batches) this.#making = this.#make(batches, inputs).catch(() => undefined);
  }

  /** Gives all memory back; no run may be under way. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#making;
    for (const program of this.#programs.splice(0)) program.free();
    this.#freeWeights();
  }

  #freeWeights(): void {
    this.#weights?.free();
    this.#weights = undefined;
  }

  /** Rejects as the compiler throws: for one, where the results of a run would depend on others. */
  async #make(batches: Batches, inputs: Inputs): Promise<void> {
    const { source, memory, compiler, traits } = this.#setup;
    const model = compiler.newModel();
    const weights = new MemoryWeights(memory, source.name, 0);
    this.#weights = weights;
    const names: CompileOrder['news']['names'][number][] = [];
    try {
      for (const runs of BATCH_SIZES) {
        const all = Object.entries(batches.inputsOf(runs, inputs));
        const order = (): CompileOrder | undefined =>
          this.#closed
            ? undefined
            : {
                ...{ kind: 'compile', model, generation: 0, traits, batch: { runs, axes: batches.axes } },
                ...{ path: source.file.path as string, folder: source.folder },
                inputs: new Map(all.map(([name, input]) => [name, given(input)])),
                news: { names, offsets: weights.placedSince(0), weightBytes: weights.byteLength },
                region: weights.region,
              };
        const compiled = await compiler.compile({ order, makeRoom: (used, bytes) => weights.makeRoom(used, bytes) });
        if (!compiled) return;
        names.push(...compiled.news.names);
        weights.learn(compiled.news);
        const { stage, specialised = [] } = compiled.whole ?? {};
        // One that is for some contents of the inputs only is not what was kept.
        if (!stage?.program || specialised.length > 0 || this.#closed) return;
        const program = new LoadedProgram(stage.program, weights, memory, source.name);
        this.#programs.push(program);
        batches.add(program);
      }
    } finally {
      compiler.forget(model);
      if (this.#programs.length === 0) this.#freeWeights();
    }
  }
}
