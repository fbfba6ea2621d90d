/** Compiles models for an engine in another thread, and packs their weights into the memory that they share. */
import type { MessagePort } from 'node:worker_threads';
import { compileStage, NeedsValueError, type Prepared, prepare } from '../compile/compile.ts';
import { SPACE_BYTES_MAX } from '../compile/limits.ts';
import { UnsupportedError, type Weights } from '../compile/program.ts';
import { externalReader } from '../onnx/external-io.ts';
import { fileSource } from '../onnx/file-io.ts';
import { readModel } from '../onnx/read.ts';
import { hasOperator } from '../ops/index.ts';
import {
  type CompiledWhole,
  type CompileOrder,
  type CompilerSetup,
  type FromCompiler,
  type Region,
  ROOM_ASKED,
  ROOM_CAPACITY,
  ROOM_OFFSET,
  ROOM_REFUSED,
  ROOM_STATE,
  type ToCompiler,
} from './compile-messages.ts';
import { WEIGHTS_ALIGNMENT } from './memory-weights.ts';
import { type Live, type Scope, Stages } from './stages.ts';
import type { Tensor } from './tensor.ts';
import { goLast, renouncePreference } from './thread-priority-io.ts';
import { isWhole } from './whole-program.ts';

/** How long to wait at a time until memory that has grown is seen to have. */
const GROWN_WAIT_MS = 1;

interface Opened {
  readonly generation: number;
  readonly prepared: Prepared;
  /** Finds nothing: what was made is kept by the engine. */
  readonly stages: Stages<never>;
  readonly offsets: Map<string, number>;
}

/** A model's weights in the engine's memory, which gives room when asked. */
class DistantWeights implements Weights {
  readonly #setup: CompilerSetup;
  readonly #offsets: Map<string, number>;
  readonly #ask: (usedBytes: number, bytes: number) => void;
  #region: Region;
  length: number;

  constructor(
    setup: CompilerSetup,
    offsets: Map<string, number>,
    { region, news }: CompileOrder,
    ask: (usedBytes: number, bytes: number) => void,
  ) {
    this.#setup = setup;
    this.#offsets = offsets;
    this.#region = region;
    this.length = news.weightBytes;
    this.#ask = ask;
  }

  place(key: string, make: () => ArrayBufferView): number {
    const known = this.#offsets.get(key);
    if (known !== undefined) return known;
    const made = make();
    const offset = Math.ceil(this.length / WEIGHTS_ALIGNMENT) * WEIGHTS_ALIGNMENT;
    const end = offset + made.byteLength;
    if (end >= SPACE_BYTES_MAX) throw new UnsupportedError(`the weights take more than ${SPACE_BYTES_MAX} bytes`);
    if (end > this.#region.capacity) this.#makeRoom(end);
    const target = new Uint8Array(this.#setup.memory.buffer, this.#region.offset + offset, made.byteLength);
    target.set(new Uint8Array(made.buffer, made.byteOffset, made.byteLength));
    this.length = end;
    this.#offsets.set(key, offset);
    return offset;
  }

  #makeRoom(bytes: number): void {
    const words = new Int32Array(this.#setup.room);
    Atomics.store(words, ROOM_STATE, ROOM_ASKED);
    this.#ask(this.length, bytes);
    Atomics.wait(words, ROOM_STATE, ROOM_ASKED);
    if (Atomics.load(words, ROOM_STATE) === ROOM_REFUSED) throw new Error('there is no room for the weights');
    const offset = Atomics.load(words, ROOM_OFFSET) >>> 0;
    this.#region = { offset, capacity: Atomics.load(words, ROOM_CAPACITY) >>> 0 };
    // That memory has grown in another thread is seen a moment later.
    while (this.#setup.memory.buffer.byteLength < offset + bytes)
      Atomics.wait(words, ROOM_STATE, Atomics.load(words, ROOM_STATE), GROWN_WAIT_MS);
  }
}

function open({ path, folder, generation }: CompileOrder): Opened {
  const readExternal = folder === undefined ? undefined : externalReader(folder);
  const prepared = prepare(readModel(fileSource(path), { readExternal, hasOperator }), generation);
  const nothing = { find: () => undefined, make: () => assertNever() };
  return { generation, prepared, stages: new Stages<never>(nothing), offsets: new Map() };
}

function assertNever(): never {
  throw new Error('assertion: stages are asked what is missing only');
}

function compileWhole({ prepared, stages }: Opened, order: CompileOrder, weights: Weights): CompiledWhole | undefined {
  const { graph } = prepared.model;
  const values = new Map<string, Live>();
  // Contents that were left out are never looked at: see below.
  for (const [name, value] of order.inputs) values.set(name, { value: value as Tensor });
  const scope: Scope = { graph, path: '', depth: 0, values, batch: order.batch };
  for (const specialised: string[] = []; ; ) {
    const missing = stages.missing(scope, 0);
    if (!missing) return assertNever();
    try {
      const stage = compileStage(prepared, missing.request, weights, order.traits);
      if (stage.kind !== 'program' || !stage.program) return undefined;
      return isWhole(graph, stage.end, stage.program.outputs) ? { stage, specialised } : undefined;
    } catch (error) {
      if (!(error instanceof NeedsValueError)) throw error;
      const isKnown = (name: string): boolean => 'data' in (order.inputs.get(name) ?? {});
      if (!error.inputs.every((name) => isKnown(name) && !specialised.includes(name))) return undefined;
      stages.specialise(scope, 0, error.inputs);
      specialised.push(...error.inputs);
    }
  }
}

export function serveCompiler(port: MessagePort, setup: CompilerSetup): void {
  const models = new Map<number, Opened>();
  const say = (message: FromCompiler, transfer: ArrayBuffer[] = []): void => port.postMessage(message, transfer);

  const carryOut = (order: CompileOrder): void => {
    const known = models.get(order.model);
    const model = known?.generation === order.generation ? known : open(order);
    models.set(order.model, model);
    const { prepared, offsets } = model;
    prepared.keys.learn(order.news.names);
    for (const [key, offset] of order.news.offsets) offsets.set(key, offset);
    const [namesKnown, offsetsKnown] = [prepared.keys.size, offsets.size];
    const weights = new DistantWeights(setup, offsets, order, (usedBytes, bytes) =>
      say({ kind: 'room', usedBytes, bytes }),
    );
    const whole = compileWhole(model, order, weights);
    const news = {
      names: prepared.keys.since(namesKnown),
      offsets: [...offsets].slice(offsetsKnown),
      weightBytes: weights.length,
    };
    const program = whole?.stage.program;
    if (!program) {
      say({ kind: 'compiled', whole: undefined, news });
      return;
    }
    const [words, tables] = [program.words.slice(), program.tables.slice()];
    const stage = { ...whole.stage, program: { ...program, words, tables }, constants: new Map() };
    say({ kind: 'compiled', whole: { ...whole, stage }, news }, [words.buffer, tables.buffer]);
  };

  say({ kind: 'ready' });
  port.on('message', (order: ToCompiler) => {
    if (order.kind === 'forget') {
      models.delete(order.model);
      return;
    }
    renouncePreference();
    try {
      carryOut(order);
    } catch (error) {
      // What it learnt on the way is not known to the engine.
      models.delete(order.model);
      const { message, cause } = error instanceof Error ? error : new Error(String(error));
      const isUnsupported = error instanceof UnsupportedError;
      say({ kind: 'failed', message, isUnsupported, cause: cause instanceof Error ? cause.message : undefined });
    } finally {
      goLast();
    }
  });
}
