/** Runs compiled programs on the kernels directly, without the engine around them. */
import {
  compileStage,
  type Prepared,
  prepare,
  type Stage,
  type StageRequest,
} from '../../../runtime/compile/compile.ts';
import { emitProgram } from '../../../runtime/compile/emit.ts';
import type { KernelGraph } from '../../../runtime/compile/graph.ts';
import type { Pass } from '../../../runtime/compile/passes/rewrite.ts';
import type { Program } from '../../../runtime/compile/program.ts';
import type { KernelTraits } from '../../../runtime/compile/traits.ts';
import { chooseBuild } from '../../../runtime/engine/choose-build.ts';
import { runModel } from '../../../runtime/engine/graph-runner.ts';
import { type KernelBuild, type Kernels, loadKernels, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { type StageStore, Stages } from '../../../runtime/engine/stages.ts';
import { arrayOf, elementBytes, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { type EngineValue, tensorsOf } from '../../../runtime/engine/value.ts';
import type { OnnxModel } from '../../../runtime/onnx/graph.ts';
import { createWeights, type PlainWeights } from './weights.ts';

export type Tensors = Readonly<Record<string, Tensor>>;

const PAGE_BYTES = 65_536;
const ALIGNMENT = 64;
/** Kernels may read a little behind what they need. */
const GUARD_BYTES = 256;

/** How a model is run; without anything said as the engine does it: the fastest build, all passes. */
export interface Way {
  readonly build?: KernelBuild;
  readonly passes?: readonly Pass[];
  /** Programs and rounds of loops that a run may take: without a bound, loops may go on for millions. */
  readonly stepsMax?: number;
  /** Bytes that a program, its weights and its values may take together to be run. */
  readonly bytesMax?: number;
}

/** A run went beyond a bound that the caller of TestModel set. */
export class BoundError extends Error {
  override readonly name = 'BoundError';
}

interface Machine {
  readonly memory: WebAssembly.Memory;
  readonly kernels: Kernels;
}

const machines = new Map<KernelBuild | undefined, Machine>();

/** Each build computes in a memory of its own. */
function machineOf(build?: KernelBuild): Machine {
  let machine = machines.get(build);
  if (!machine) {
    prepareV8();
    const memory = new WebAssembly.Memory({ initial: 16, maximum: 32_768, shared: true });
    machine = { memory, kernels: loadKernels(memory, { build: build ?? chooseBuild().build }) };
    machines.set(build, machine);
  }
  return machine;
}

export function traits(build?: KernelBuild): KernelTraits {
  return machineOf(build).kernels.traits;
}

/** What has to lie in memory for a run, one behind the other. */
export function execute(
  program: Program,
  weights: PlainWeights,
  inputs: Tensors,
  build?: KernelBuild,
): Record<string, Tensor> {
  const { memory: heap, kernels: run } = machineOf(build);
  let next = run.heapBase;
  const reserve = (bytes: number): number => {
    const at = Math.ceil(next / ALIGNMENT) * ALIGNMENT;
    next = at + bytes + GUARD_BYTES;
    return at;
  };
  const bases = reserve(12);
  const flag = reserve(4);
  const words = reserve(program.words.byteLength);
  const arena = reserve(program.arenaBytes);
  const packed = reserve(weights.byteLength);
  const tables = reserve(program.tables.length);
  const missing = Math.ceil((next - heap.buffer.byteLength) / PAGE_BYTES);
  if (missing > 0) heap.grow(missing);
  const bytes = new Uint8Array(heap.buffer);
  // Whatever the program does not write itself would show as wrong numbers.
  bytes.fill(0xff, arena, next);
  new Uint32Array(heap.buffer, bases, 3).set([arena, packed, tables]);
  new Int32Array(heap.buffer, flag, 1)[0] = 0;
  new Uint32Array(heap.buffer, words).set(program.words);
  weights.copyTo(bytes.subarray(packed));
  bytes.set(program.tables, tables);
  const place = (address: number): number =>
    ([arena, packed, tables][address >>> 30] as number) + (address & 0x3fffffff);
  for (const { name, address } of program.inputs) {
    const { data } = inputs[name] as Tensor;
    bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength), place(address));
  }
  const end = run.execute(words, 0, bases, flag);
  if (end !== -1) {
    const origin = program.origins.findLast(({ word }) => word <= run.faultWord());
    throw new Error(`fault ${end} in node "${origin?.node}"`);
  }
  const outputs = program.outputs.map(({ name, type, dims, address }): [string, Tensor] => {
    const size = elementCount(dims) * elementBytes(type);
    const data = new (arrayOf(type))(bytes.slice(place(address), place(address) + size).buffer);
    return [name, { type, dims, data }];
  });
  return Object.fromEntries(outputs);
}

/** A model with the weights that its programs share, run as the engine runs it, stage by stage. */
export class TestModel implements StageStore<Program> {
  readonly prepared: Prepared;
  readonly weights = createWeights();
  readonly #way: Way;
  readonly #kept = new Map<string, Stage>();
  readonly #stages = new Stages<Program>(this);

  constructor(model: OnnxModel, way: Way = {}) {
    this.prepared = prepare(model);
    this.#way = way;
  }

  /** Stages compiled so far, for all inputs. */
  get stageCount(): number {
    return this.#kept.size;
  }

  find(key: string): Stage | undefined {
    return this.#kept.get(key);
  }

  make(key: string, _place: string, request: StageRequest): Stage {
    const { build, passes } = this.#way;
    const stage = compileStage(this.prepared, request, this.weights, traits(build), passes);
    this.#kept.set(key, stage);
    return stage;
  }

  /** The program for these inputs, specialised to the values of those that it needs. */
  program(inputs: Tensors): Program {
    const { graph } = this.prepared.model;
    const values = new Map(Object.entries(inputs).map(([name, value]) => [name, { value }]));
    const stage = this.#stages.next({ graph, path: '', depth: 0, values }, 0);
    if (stage.kind !== 'program' || !stage.program || stage.end < graph.nodes.length)
      throw new Error('expected a model that is one program');
    return stage.program;
  }

  run(inputs: Tensors): Readonly<Record<string, Tensor>> {
    return tensorsOf(this.runValues(inputs));
  }

  runValues(inputs: Readonly<Record<string, EngineValue>>): Record<string, EngineValue> {
    const steps = runModel(this.prepared.model, this.#stages, inputs);
    let step = steps.next();
    for (let taken = 1; !step.done; taken++) {
      if (taken > (this.#way.stepsMax ?? Infinity))
        throw new BoundError(`expected at most ${taken - 1} steps in a run`);
      const { value } = step;
      step = steps.next(value.kind === 'run' ? this.#execute(value.program, value.inputs) : undefined);
    }
    return step.value;
  }

  #execute(program: Program, inputs: Tensors): Record<string, Tensor> {
    const { build, bytesMax = Infinity } = this.#way;
    const bytes = program.arenaBytes + program.words.byteLength + program.tables.byteLength + this.weights.byteLength;
    if (bytes > bytesMax) throw new BoundError(`expected a program of at most ${bytesMax} bytes, got ${bytes}`);
    return execute(program, this.weights, inputs, build);
  }
}

/** Runs a kernel graph as it is; `changed` may order its instructions in another way. */
export function runGraph(
  graph: KernelGraph,
  inputs: Tensors,
  build?: KernelBuild,
  madeFor: KernelTraits = traits(build),
  changed = (program: Program): Program => program,
): Record<string, Tensor> {
  const weights = createWeights();
  return execute(changed(emitProgram(graph, weights, madeFor)), weights, inputs, build);
}
