/** Runs compiled programs on the kernels directly, without the engine around them. */
import { compile, type InputShape, NeedsValueError, type Prepared, prepare } from '../../../runtime/compile/compile.ts';
import { emitProgram } from '../../../runtime/compile/emit.ts';
import type { KernelGraph } from '../../../runtime/compile/graph.ts';
import type { Pass } from '../../../runtime/compile/passes/rewrite.ts';
import type { Program } from '../../../runtime/compile/program.ts';
import { type KernelBuild, type Kernels, loadKernels, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { arrayOf, elementBytes, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
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
    machine = { memory, kernels: loadKernels(memory, { build }) };
    machines.set(build, machine);
  }
  return machine;
}

export function panel(build?: KernelBuild): 8 | 16 {
  return machineOf(build).kernels.panel;
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

/** A model with the weights that its programs share. */
export class TestModel {
  readonly prepared: Prepared;
  readonly weights = createWeights();
  readonly #way: Way;
  readonly #programs = new Map<string, Program>();

  constructor(model: OnnxModel, way: Way = {}) {
    this.prepared = prepare(model);
    this.#way = way;
  }

  /** The program for these inputs, specialised to the values of those that it needs. */
  program(inputs: Tensors): Program {
    const shapes: Record<string, InputShape> = {};
    for (const [name, { type, dims }] of Object.entries(inputs)) shapes[name] = { type, dims };
    const key = JSON.stringify(shapes);
    const { build, passes } = this.#way;
    let program = this.#programs.get(key);
    if (program) return program;
    while (!program) {
      try {
        program = compile(this.prepared, shapes, this.weights, panel(build), passes);
      } catch (error) {
        if (!(error instanceof NeedsValueError)) throw error;
        for (const name of error.inputs) shapes[name] = { ...(inputs[name] as Tensor), value: inputs[name] };
      }
    }
    this.#programs.set(key, program);
    return program;
  }

  run(inputs: Tensors): Record<string, Tensor> {
    return execute(this.program(inputs), this.weights, inputs, this.#way.build);
  }
}

/** Runs a kernel graph as it is. */
export function runGraph(graph: KernelGraph, inputs: Tensors): Record<string, Tensor> {
  const weights = createWeights();
  return execute(emitProgram(graph, weights, panel()), weights, inputs);
}
