/** Kernel graph → program: memory is planned, then every node's emitter is called in turn. */
import { elementCount, type TypedArray } from '../engine/tensor.ts';
import { Assembler } from './assembler.ts';
import { type BandGroup, findGroups, type Step, slicesOf } from './bands.ts';
import { DerivedTensor } from './builder.ts';
import type { Emitter, OperationOf } from './emission.ts';
import { attention } from './emit-attention.ts';
import * as data from './emit-data.ts';
import * as elementwise from './emit-elementwise.ts';
import * as integer from './emit-integer.ts';
import * as matrix from './emit-matrix.ts';
import { emitProduct } from './emit-product.ts';
import * as quantized from './emit-quantized.ts';
import * as rare from './emit-rare.ts';
import type { Constant, KernelGraph, NamedValue, Node, Operation, Value } from './graph.ts';
import { findInside } from './inside.ts';
import { type Address, address, SPACE_ARENA, SPACE_WEIGHTS } from './instructions.ts';
import { planMemory, type Scratch } from './plan.ts';
import type { Program, ProgramValue, Weights } from './program.ts';
import { recurrent } from './recurrent.ts';
import { rowBytesOf } from './rows.ts';
import { suppress } from './suppress.ts';
import type { KernelTraits } from './traits.ts';

const emitters: { readonly [Kind in Operation['kind']]: Emitter<OperationOf<Kind>> } = {
  argMax: elementwise.argMax,
  attention,
  averagePool: matrix.averagePool,
  binary: elementwise.binary,
  bitCast: data.reshape,
  cast: elementwise.cast,
  center: integer.center,
  compare: elementwise.compare,
  concat: data.concat,
  conv: matrix.conv,
  convInteger: integer.conv,
  convQuantized: quantized.conv,
  convTranspose: matrix.convTranspose,
  cumulate: rare.cumulate,
  dequantize: integer.dequantize,
  determinant: rare.determinant,
  expand: data.expand,
  gather: data.gather,
  layerNorm: elementwise.layerNorm,
  lookup: rare.lookup,
  matMul: matrix.matMul,
  matMulBlocks: rare.matMulBlocks,
  matMulInteger: integer.matMul,
  maxPool: matrix.maxPool,
  maxRoiPool: rare.maxRoiPool,
  pad: data.pad,
  pairOpposites: rare.pairOpposites,
  product: emitProduct,
  quantize: integer.quantize,
  recurrent,
  reduce: elementwise.reduce,
  requantize: integer.requantize,
  reshape: data.reshape,
  resize: data.resize,
  roiAlign: rare.roiAlign,
  sample: rare.sample,
  scatter: rare.scatter,
  slice: data.slice,
  softmax: elementwise.softmax,
  suppress,
  topK: rare.topK,
  transpose: data.transpose,
  trees: rare.trees,
  unary: elementwise.unary,
  uniform: rare.uniform,
  where: elementwise.where,
  wrapIndices: rare.wrapIndices,
};

/** The table is typed by kind; a node's own kind is known only when it comes up. */
function emitterOf(node: Node): Emitter {
  return emitters[node.operation.kind] as unknown as Emitter;
}

function isEmpty(value: Value): boolean {
  return elementCount(value.dims) === 0;
}

/** Constants go to the model's weights when all programs share them, else to the program's tables. Each is placed once. */
class ConstantPlaces {
  readonly #assembler: Assembler;
  readonly #weights: Weights;
  readonly #own = new Map<Constant, Map<string, Address>>();
  readonly #tables = new Map<object, Address>();

  constructor(assembler: Assembler, weights: Weights) {
    this.#assembler = assembler;
    this.#weights = weights;
  }

  place(constant: Constant, form: string, make: (data: TypedArray) => ArrayBufferView): Address {
    const made: ArrayBufferLike[] = [];
    const found = this.#find(constant, form, () => {
      const { data } = constant.tensor;
      const view = make(data);
      if (view.buffer !== data.buffer) made.push(view.buffer);
      return view;
    });
    for (const buffer of made) this.#assembler.room.giveBack(buffer);
    if (constant.tensor instanceof DerivedTensor) constant.tensor.forget();
    return found;
  }

  /** Numbers of this program alone, placed once for each owner, however many instructions read them. */
  table(owner: object, make: () => ArrayBufferView): Address {
    const found = this.#tables.get(owner) ?? this.#assembler.table(make());
    this.#tables.set(owner, found);
    return found;
  }

  #find(constant: Constant, form: string, make: () => ArrayBufferView): Address {
    if (constant.key !== undefined)
      return address(
        SPACE_WEIGHTS,
        this.#weights.place(`${constant.key} | ${form} | ${this.#assembler.traits.panel}`, make),
      );
    const forms = this.#own.get(constant) ?? new Map<string, Address>();
    this.#own.set(constant, forms);
    const found = forms.get(form) ?? this.#assembler.table(make());
    forms.set(form, found);
    return found;
  }
}

/** Is told where the instructions of each node begin, in order; views have none. Of nodes that are done in bands, for each band. For profiles. */
export type EmissionObserver = (word: number, node: Node) => void;

/** The last rows of a line buffer move to its beginning, no more at a time than there is room before them. */
function moveUp(assembler: Assembler, buffer: Address, { value, from, count }: Extract<Step, { kind: 'move' }>): void {
  const row = rowBytesOf(value) / 4;
  for (let done = 0; done < count; done += from) {
    const size = Math.min(from, count - done) * row;
    const block = { elementBytes: 4, shape: [size], xStrides: [1], yStrides: [1] };
    assembler.copy({ ...block, x: buffer, y: buffer, xOffset: (from + done) * row, yOffset: done * row });
  }
}

/** Throws UnsupportedError for what the kernels cannot do at run time. */
export function emitProgram(
  graph: KernelGraph,
  weights: Weights,
  traits: KernelTraits,
  observe?: EmissionObserver,
): Program {
  const assembler = new Assembler(traits);
  const constants = new ConstantPlaces(assembler, weights);
  const nodes = graph.nodes.filter((node) => !node.outputs.every(isEmpty));
  const scratchBytes = (node: Node): number => emitterOf(node).scratchBytes?.(node, node.operation, assembler) ?? 0;
  const groups = findGroups({ ...graph, nodes });
  const inside = findInside({ ...graph, nodes }, groups);
  const plan = planMemory({ ...graph, nodes }, scratchBytes, groups, inside);
  const at = (value: Value): Address => {
    const { constant } = value;
    if (isEmpty(value)) return address(SPACE_ARENA, 0);
    if (constant) return constants.place(constant, 'plain', (data) => data);
    return address(SPACE_ARENA, plan.offsetOf(value));
  };
  const emit = (node: Node, scratch: Address, isView: boolean, place: (value: Value) => Address): void => {
    emitterOf(node).emit({
      assembler,
      node,
      operation: node.operation,
      scratch,
      isView,
      at: place,
      pixelStride: (value) => inside.get(value)?.pixelStride ?? value.dims.at(-1) ?? 1,
      isInPlace: (operand) => inside.get(operand)?.concat === node,
      packed: (value, form, make) => constants.place(value.constant as Constant, form, make),
      table: (owner, make) => constants.table(owner, make),
    });
  };
  const begin = (node: Node, scratch: Scratch, observer?: EmissionObserver): void => {
    const word = assembler.begin(node.origin, scratch);
    observer?.(word, node);
  };
  /** `base`: where the group's scratch memory lies, with its line buffers. */
  const emitSteps = (group: BandGroup, steps: readonly Step[], base: Address, observer?: EmissionObserver): void => {
    const scratch = plan.scratchOf(nodes[group.first] as Node);
    const place = (value: Value): Address =>
      group.buffers.has(value) ? base + plan.offsetOf(value) - scratch.offset : at(value);
    for (const step of steps) {
      if (step.kind === 'move') {
        moveUp(assembler, place(step.value), step);
        continue;
      }
      begin(step.node, scratch, observer);
      emit(step.node, base, false, (value) => {
        const image = step.images.get(value);
        return image ? place(image.whole) + image.row * rowBytesOf(image.whole) : place(value);
      });
    }
  };
  const emitGroup = (group: BandGroup): void => {
    const scratch = plan.scratchOf(nodes[group.first] as Node);
    const slices = slicesOf({ ...graph, nodes }, group);
    const base = address(SPACE_ARENA, scratch.offset);
    if (slices.length === 1) {
      for (const { steps } of slices) emitSteps(group, steps, base, observe);
      return;
    }
    assembler.begin((nodes[group.first] as Node).origin, scratch);
    assembler.inChunks(slices.length, base, (index, own) => {
      const { lead, steps } = slices[index] as (typeof slices)[number];
      if (lead.length > 0) assembler.lead(() => emitSteps(group, lead, own));
      emitSteps(group, steps, own, observe);
    });
  };
  const groupAt = new Map(groups.map((group) => [group.first, group]));
  for (let index = 0; index < nodes.length; index++) {
    const group = groupAt.get(index);
    const node = nodes[index] as Node;
    if (group) {
      emitGroup(group);
      index = group.last;
      continue;
    }
    const scratch = plan.scratchOf(node);
    begin(node, scratch, observe);
    emit(node, address(SPACE_ARENA, scratch.offset), plan.isView(node), at);
  }
  const described = ({ name, value }: NamedValue): ProgramValue => ({
    name,
    type: value.type,
    dims: value.dims,
    address: at(value),
  });
  const [inputs, outputs] = [graph.inputs.map(described), graph.outputs.map(described)];
  return { ...assembler.finish(), arenaBytes: plan.arenaBytes, inputs, outputs };
}
