/** Programs in the engine's memory, and the tensors that go into a run's arena and come out of it. */
import { SUPPRESS } from '../../assembly/opcodes.ts';
import type { BatchLayout } from '../compile/batch-axes.ts';
import { hasOpcode } from '../compile/instruction-words.ts';
import { type Address, SPACE_ARENA, SPACE_WEIGHTS } from '../compile/instructions.ts';
import type { Program, ProgramValue } from '../compile/program.ts';
import { WorkEstimate } from '../schedule/work-estimate.ts';
import type { Batches } from './batches.ts';
import { copyBytes, copyInto } from './copy-bytes.ts';
import { clearLanes, lanesBytes } from './core-block.ts';
import { arrayFor, arrayOfName, type GivenOutputs } from './given-outputs.ts';
import type { Blocks } from './memory.ts';
import type { MemoryWeights } from './memory-weights.ts';
import { resultBuffer } from './result-memory.ts';
import { SharingChoice } from './sharing-choice.ts';
import { ShortChoice } from './short-runs.ts';
import { arrayOf, type DataType, elementBytes, elementCount, type Tensor, type TypedArray } from './tensor.ts';

/** Kernels may read a vector's width past the last element of a block. */
const GUARD_BYTES = 64;
const ALIGNMENT_BYTES = 64;
const OFFSET_MASK = 0x3fffffff;
/** Of outputs that are copied at a time. Pages of new memory take most of it: up to 17 µs each on a virtual machine. */
const PIECE_BYTES = 64 << 10;
const CLEARED_BYTES_MAX = 4096;

/** A program whose words and tables lie in the engine's memory, until `free`. */
export class LoadedProgram {
  /** Without words and tables, which lie in the engine's memory now. */
  readonly program: Omit<Program, 'words' | 'tables'>;
  readonly weights: MemoryWeights;
  readonly words: number;
  readonly tables: number;
  /** Of each run. */
  readonly outputs: readonly ProgramValue[];
  readonly #memory: Blocks;
  /** How long its instructions take does not depend on the data, so that a run takes as long as those before. */
  readonly isEven: boolean;
  /** Runs that wait for it or are under way. */
  users = 0;
  readonly short = new ShortChoice();
  readonly sharing = new SharingChoice();
  readonly work = new WorkEstimate();
  /** Programs for several runs of this one, where its runs can be computed together. */
  batches?: Batches;
  /** Of a program for several runs: kept, so that it can begin whenever no other batch of its size is under way. */
  readonly #arena: number | undefined;
  #isFreed = false;

  constructor(program: Program, weights: MemoryWeights, memory: Blocks, model: string) {
    const { words: _words, tables: _tables, ...rest } = program;
    this.program = rest;
    this.weights = weights;
    this.isEven = !hasOpcode(program.words, SUPPRESS);
    this.#memory = memory;
    this.outputs = program.outputs.map((output) => ofOneRun(output, program.batch));
    const { batch } = program;
    // One block, so that there is nothing to give back when it does not fit.
    const tablesAt = aligned(program.words.byteLength);
    const arenaAt = aligned(tablesAt + program.tables.byteLength + GUARD_BYTES);
    const bytes = batch ? arenaAt + program.arenaBytes + GUARD_BYTES : arenaAt;
    this.words = memory.allocate(bytes, `a program of model "${model}"`);
    this.tables = this.words + tablesAt;
    this.#arena = batch && this.words + arenaAt;
    memory.bytes(this.words, program.words.byteLength).set(bytesOf(program.words));
    memory.bytes(this.tables, program.tables.byteLength).set(program.tables);
  }

  free(): void {
    this.#isFreed = true;
    this.#memory.free(this.words);
  }

  get isBatch(): boolean {
    return this.#arena !== undefined;
  }

  /** Of a program for several runs: none of them is under way. */
  get canBegin(): boolean {
    return !this.#isFreed && this.users === 0;
  }

  /** Memory for one run, or for a batch. */
  openArena(model: string): number {
    return (
      this.#arena ?? this.#memory.allocate(this.program.arenaBytes + GUARD_BYTES, `a run of model "${model}"`, 'run')
    );
  }

  closeArena(arena: number): void {
    if (arena !== this.#arena) this.#memory.free(arena);
  }

  /** Memory for a run that so many cores may compute together, besides the arena. */
  openLanes(cores: number, model: string): number {
    const bytes = aligned(this.program.laneBytes);
    const lanes = this.#memory.allocate(
      lanesBytes(cores, bytes) + GUARD_BYTES,
      `further cores for a run of model "${model}"`,
      'run',
    );
    clearLanes(this.#memory, lanes, bytes);
    return lanes;
  }

  closeLanes(lanes: number): void {
    this.#memory.free(lanes);
  }

  /** Writes the base pointers of a run, as the kernels take them. */
  writeBases(at: number, arena: number): void {
    this.#memory.words(at, 3).set(this.basesOf(arena));
  }

  basesOf(arena: number): [number, number, number] {
    return [arena, this.weights.offset, this.tables];
  }

  /** `slot`: the run's place in a batch. */
  writeInputs(arena: number, inputs: Readonly<Record<string, Tensor>>, slot = 0): void {
    for (const input of this.program.inputs) {
      const bytes = bytesOf((inputs[input.name] as Tensor).data);
      let from = 0;
      for (const { offset, length } of this.#parts(input, slot, bytes.length)) {
        const part = length === bytes.length ? bytes : bytes.subarray(from, from + length);
        copyBytes(this.#memory.bytes(this.#place(input.address, arena) + offset, length), part);
        from += length;
      }
    }
  }

  /** Throws an Error that names the output when an array for it does not fit. */
  checkGiven(model: string, given: GivenOutputs | undefined): void {
    if (given) for (const output of this.outputs) arrayFor(model, output, given);
  }

  /** Copies of the outputs of one run, in the `given` arrays, which fit, where there are. */
  readOutputs(arena: number, given?: GivenOutputs): Record<string, Tensor> {
    const outputs: Record<string, Tensor> = {};
    for (const { name, type, dims, address } of this.program.outputs) {
      const data = arrayOfName(name, given) ?? newArray(type, elementCount(dims));
      copyInto(data, this.#memory.bytes(this.#place(address, arena), data.byteLength));
      outputs[name] = { type, dims, data };
    }
    return outputs;
  }

  /** The same in pieces, between which others may have their turn; and of a run in a batch. */
  *copyOutputs(arena: number, slot: number, given?: GivenOutputs): Generator<void, Record<string, Tensor>> {
    const outputs: Record<string, Tensor> = {};
    for (const [place, whole] of this.program.outputs.entries()) {
      const { name, type, dims } = this.outputs[place] as ProgramValue;
      const data = arrayOfName(name, given) ?? newArray(type, elementCount(dims));
      let from = 0;
      for (const { offset, length } of this.#parts(whole, slot, data.byteLength)) {
        const at = this.#place(whole.address, arena) + offset;
        for (let done = 0; done < length; done += PIECE_BYTES) {
          if (from > 0) yield;
          const bytes = Math.min(PIECE_BYTES, length - done);
          copyInto(data, this.#memory.bytes(at + done, bytes), from);
          from += bytes;
        }
      }
      outputs[name] = { type, dims, data };
    }
    return outputs;
  }

  /** Where the bytes of one run lie in a value of all. */
  *#parts({ name, dims }: ProgramValue, slot: number, bytes: number): Generator<{ offset: number; length: number }> {
    const { batch } = this.program;
    const axis = batch?.axes[name];
    const outer = axis === undefined ? 1 : elementCount(dims.slice(0, axis));
    const length = bytes / outer;
    const [runs, own] = batch && axis !== undefined ? [batch.runs, slot] : [1, 0];
    for (let place = 0; place < outer; place++) yield { offset: (place * runs + own) * length, length };
  }

  /** Name of the node that the instruction at `word` was made for. */
  nodeAt(word: number): string {
    const origin = this.program.origins.findLast((candidate) => candidate.word <= word);
    return origin?.node ?? 'the start of the program';
  }

  #place(address: Address, arena: number): number {
    const space = address >>> 30;
    const base = space === SPACE_ARENA ? arena : space === SPACE_WEIGHTS ? this.weights.offset : this.tables;
    return base + (address & OFFSET_MASK);
  }
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

function ofOneRun(value: ProgramValue, batch: BatchLayout | undefined): ProgramValue {
  const axis = batch?.axes[value.name];
  if (!batch || axis === undefined) return value;
  return { ...value, dims: value.dims.with(axis, (value.dims[axis] as number) / batch.runs) };
}

/** Clearing new memory would take as long as the copy itself, unless there is little of it. */
function newArray(type: DataType, count: number): TypedArray {
  const array = arrayOf(type);
  const byteLength = count * elementBytes(type);
  if (byteLength <= CLEARED_BYTES_MAX) return new array(count);
  return new array(resultBuffer(byteLength));
}

function bytesOf(array: ArrayBufferView): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}
