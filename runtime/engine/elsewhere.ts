/** Programs of one model that the thread for it makes: see compile-thread.ts. */
import { SPECIALISED_ELEMENTS_MAX } from '../compile/limits.ts';
import type { KernelTraits } from '../compile/traits.ts';
import type { ByteSource } from '../onnx/byte-source.ts';
import type { CompileOrder, InputGiven } from './compile-messages.ts';
import type { CompileThread } from './compile-thread.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { ProgramStore, Shared } from './program-store.ts';
import type { Scope, Stages } from './stages.ts';
import { elementCount, type Tensor } from './tensor.ts';
import { isHostValue } from './value.ts';

/** Where a model comes from: `folder` is where weights beside the file are looked for. */
export interface ModelSource {
  readonly name: string;
  readonly folder: string | undefined;
  readonly file: ByteSource;
}

export interface ElsewhereSetup {
  readonly source: ModelSource;
  readonly store: ProgramStore;
  readonly stages: Stages<LoadedProgram>;
  readonly thread: CompileThread;
  readonly traits: KernelTraits;
}

export class Elsewhere {
  readonly #setup: ElsewhereSetup;
  readonly #model: number;
  /** By key of the program. */
  readonly #asked = new Map<string, Promise<void>>();
  #busy: Promise<void> | undefined;
  /** How much of what programs share the thread knows of. */
  #told = { generation: -1, names: 0, offsets: 0 };
  #closed = false;

  constructor(setup: ElsewhereSetup) {
    this.#setup = setup;
    this.#model = setup.thread.newModel();
  }

  /** Whether it is for the thread to make what is missing: only what it can read. */
  get isWanted(): boolean {
    const { thread, source } = this.#setup;
    return source.file.path !== undefined && thread.takes(source.file.byteLength);
  }

  /** Until then the thread has the weights, and no program of the model may be made here. */
  get busy(): Promise<void> | undefined {
    return this.#busy;
  }

  /**
   * Has the program for the scope's inputs made, if there is none. Afterwards there is, unless it takes more than one program. Rejects as the
   * compiler throws.
   */
  make(scope: Scope): Promise<void> | undefined {
    if ([...scope.values.values()].some(({ value }) => isHostValue(value))) return undefined;
    const missing = this.#setup.stages.missing(scope, 0);
    if (!missing) return undefined;
    const { key } = missing;
    let asked = this.#asked.get(key);
    if (!asked) {
      asked = this.#make(scope).finally(() => this.#asked.delete(key));
      this.#asked.set(key, asked);
    }
    return asked;
  }

  /** Nothing more is asked for; resolves when nothing is made any more. */
  async close(): Promise<void> {
    this.#closed = true;
    await this.#busy;
    this.#setup.thread.forget(this.#model);
  }

  async #make(scope: Scope): Promise<void> {
    const { stages, store, thread } = this.#setup;
    const { promise, resolve } = Promise.withResolvers<void>();
    let shared: Shared | undefined;
    try {
      const compiled = await thread.compile({
        order: (isNew) => {
          const missing = stages.missing(scope, 0);
          if (this.#closed || !missing) return undefined;
          this.#busy = promise;
          shared = store.beginElsewhere(missing.place);
          return this.#order(scope, shared, isNew(this.#model));
        },
        makeRoom: (usedBytes, bytes) => (shared as Shared).weights.makeRoom(usedBytes, bytes),
      });
      if (!compiled || !shared) return;
      const { whole, news } = compiled;
      const { prepared, weights, generation } = shared;
      prepared.keys.learn(news.names);
      weights.learn(news);
      this.#told = { generation, names: prepared.keys.size, offsets: weights.count };
      if (!whole) return;
      stages.specialise(scope, 0, whole.specialised);
      const missing = stages.missing(scope, 0);
      if (missing) store.add(missing, whole.stage);
    } finally {
      this.#busy = undefined;
      resolve();
    }
  }

  #order(scope: Scope, { generation, prepared, weights }: Shared, isNew: boolean): CompileOrder {
    const { source, traits } = this.#setup;
    const { names, offsets } = isNew || this.#told.generation !== generation ? { names: 0, offsets: 0 } : this.#told;
    return {
      kind: 'compile',
      model: this.#model,
      generation,
      path: source.file.path as string,
      folder: source.folder,
      traits,
      inputs: new Map([...scope.values].map(([name, { value }]) => [name, given(value as Tensor)])),
      batch: scope.batch,
      news: {
        names: prepared.keys.since(names),
        offsets: weights.placedSince(offsets),
        weightBytes: weights.byteLength,
      },
      region: weights.region,
    };
  }
}

/** With its contents where shapes may follow from them. */
export function given({ type, dims, data }: Tensor): InputGiven {
  const count = elementCount(dims);
  return count <= SPECIALISED_ELEMENTS_MAX && data.length === count
    ? { type, dims, data: data.slice() }
    : { type, dims };
}
