/**
 * If, Loop, Scan and SequenceMap whose course depends on the run: the graphs inside are run in their turn, as often as
 * it takes. Those whose course is known are built into one program instead (runtime/ops/control.ts, loop.ts).
 */
import type { Graph } from '../onnx/graph.ts';
import { isDataType } from '../onnx/tensor-data.ts';
import type { HostContext } from '../ops/host/host-context.ts';
import type { HeldBytes } from './held-bytes.ts';
import { slicesOf, stackTensors } from './stack.ts';
import type { Steps } from './steps.ts';
import type { Tensor } from './tensor.ts';
import { type EngineValue, isHostValue } from './value.ts';

/** A loop may run for long, until its run is ended, but not for ever. */
export const ITERATIONS_MAX = 2 ** 24;

interface ControlNode {
  readonly node: HostContext;
  readonly held: HeldBytes;
  /** Runs a graph with these inputs; its names see those outside. */
  inline(graph: Graph, branch: string, inputs: readonly EngineValue[]): Steps<unknown, EngineValue[]>;
}

type ControlFlow = (control: ControlNode) => Steps<unknown, EngineValue[]>;

function scalar(tensor: Tensor, what: string): number {
  if (tensor.data.length !== 1) throw new Error(`${what}: expected one element, got [${tensor.dims}]`);
  return Number(tensor.data[0]);
}

function tensorOf(value: EngineValue | undefined, what: string): Tensor {
  if (!value || isHostValue(value)) throw new Error(`${what}: expected a tensor of numbers, got ${value?.type}`);
  return value;
}

const whole = (value: number): Tensor => ({ type: 'int64', dims: [], data: BigInt64Array.of(BigInt(value)) });

function* branch({ node, inline }: ControlNode): Steps<unknown, EngineValue[]> {
  const chosen = scalar(node.tensor(0), 'the condition') === 0 ? 'else_branch' : 'then_branch';
  return yield* inline(node.graph(chosen), chosen, []);
}

/** What the iterations gave for one output, along a new axis; `declared` describes it where there were none. */
function stacked(
  { held }: ControlNode,
  values: readonly EngineValue[],
  axis: number,
  declared: Graph['outputs'][number] | undefined,
): Tensor {
  const tensors = values.map((value) => tensorOf(value, `output "${declared?.name}" of the iterations`));
  const [first] = tensors;
  for (const tensor of tensors) held.release(tensor);
  if (first) return stackTensors(tensors, axis);
  if (!declared || !isDataType(declared.type))
    throw new Error(`output "${declared?.name}": without iterations its type is not known`);
  const dims = [0, ...declared.dims.map((size) => (typeof size === 'number' ? size : 0))];
  return stackTensors([], 0, { type: declared.type, dims });
}

function* loop(control: ControlNode): Steps<unknown, EngineValue[]> {
  const { node, held, inline } = control;
  const body = node.graph('body');
  const most = node.inputs[0] ? scalar(node.tensor(0), 'the number of iterations') : Infinity;
  let goesOn = node.inputs[1] ? scalar(node.tensor(1), 'the condition') !== 0 : true;
  let carried = node.inputs.slice(2).map((_, index) => node.input(index + 2));
  const states = carried.length;
  const gathered = body.outputs.slice(states + 1).map((): EngineValue[] => []);
  for (let iteration = 0; goesOn && iteration < most; iteration++) {
    if (iteration === ITERATIONS_MAX) throw new Error(`expected at most ${ITERATIONS_MAX} iterations`);
    const condition: Tensor = { type: 'bool', dims: [], data: Uint8Array.of(1) };
    const results = yield* inline(body, 'body', [whole(iteration), condition, ...carried]);
    const [next, ...rest] = results;
    carried = rest.slice(0, states);
    rest.slice(states).forEach((value, index) => {
      held.take(value);
      gathered[index]?.push(value);
    });
    goesOn = scalar(tensorOf(next, 'the condition of the loop'), 'the condition of the loop') !== 0;
  }
  return [
    ...carried,
    ...gathered.map((values, index) => stacked(control, values, 0, body.outputs[states + 1 + index])),
  ];
}

function* scan(control: ControlNode): Steps<unknown, EngineValue[]> {
  const { node, held, inline } = control;
  if (node.opset < 9) throw node.unsupported('a scan of version 8 whose course depends on the run');
  const body = node.graph('body');
  const states = node.inputs.length - node.int('num_scan_inputs');
  const list = (name: string, index: number): number => node.ints(name)?.[index] ?? 0;
  const parts = node.inputs.slice(states).map((_, index) => {
    const x = node.tensor(states + index);
    const axis = node.axis(list('scan_input_axes', index), x.dims.length);
    const slices = slicesOf(x, axis);
    return list('scan_input_directions', index) === 1 ? slices.reverse() : slices;
  });
  const count = parts[0]?.length ?? 0;
  if (parts.some((each) => each.length !== count))
    throw new Error(`expected inputs to scan of ${count} parts, got ${parts.map((each) => each.length).join(', ')}`);
  let carried = node.inputs.slice(0, states).map((_, index) => node.input(index));
  const gathered = body.outputs.slice(states).map((): EngineValue[] => []);
  for (let step = 0; step < count; step++) {
    const results = yield* inline(body, 'body', [...carried, ...parts.map((each) => each[step] as Tensor)]);
    carried = results.slice(0, states);
    results.slice(states).forEach((value, index) => {
      held.take(value);
      gathered[index]?.push(value);
    });
  }
  const outputs = gathered.map((values, index) => {
    const ordered = list('scan_output_directions', index) === 1 ? values.toReversed() : values;
    const rank = ordered[0] && !isHostValue(ordered[0]) ? ordered[0].dims.length + 1 : 1;
    return stacked(control, ordered, node.axis(list('scan_output_axes', index), rank), body.outputs[states + index]);
  });
  return [...carried, ...outputs];
}

/** Every input that is a sequence gives one item an iteration, the others are the same in each. */
function* sequenceMap({ node, held, inline }: ControlNode): Steps<unknown, EngineValue[]> {
  const body = node.graph('body');
  const count = node.sequence(0).items.length;
  const inputs = node.inputs.map((_, index) => node.input(index));
  const wrong = inputs.find((each) => each.type === 'sequence' && each.items.length !== count);
  if (wrong) throw new Error(`expected sequences of ${count} items, as the first has`);
  const gathered = body.outputs.map((): EngineValue[] => []);
  for (let item = 0; item < count; item++) {
    const given = inputs.map((each) => (each.type === 'sequence' ? (each.items[item] as EngineValue) : each));
    const results = yield* inline(body, 'body', given);
    results.forEach((value, index) => {
      held.take(value);
      gathered[index]?.push(value);
    });
  }
  for (const items of gathered) for (const item of items) held.release(item);
  return gathered.map((items): EngineValue => ({ type: 'sequence', items }));
}

export const controlFlow: Readonly<Record<string, ControlFlow>> = {
  If: branch,
  Loop: loop,
  Scan: scan,
  SequenceMap: sequenceMap,
};
