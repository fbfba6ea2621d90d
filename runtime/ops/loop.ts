/**
 * Loop and Scan: the body is built once for every iteration, where the number of iterations is known and small. Others
 * are run one iteration after the other (runtime/engine/control-flow.ts).
 */
import type { Value } from '../compile/graph.ts';
import { TIME_STEPS_MAX, UNROLLED_NODES_MAX } from '../compile/limits.ts';
import { NotStaticError } from '../compile/program.ts';
import type { Graph } from '../onnx/graph.ts';
import { isDataType } from '../onnx/tensor-data.ts';
import { placeOf } from './attributes.ts';
import type { Build, OperatorContext } from './context.ts';

function checkIterations(node: OperatorContext, count: number): void {
  if (!(count <= TIME_STEPS_MAX)) throw new NotStaticError(`${placeOf(node.node)}: ${count} iterations are too many`);
}

/** `before`: nodes that there were before the loop. */
function checkUnrolled(node: OperatorContext, before: number): void {
  if (node.builder.nodes.length - before > UNROLLED_NODES_MAX)
    throw new NotStaticError(`${placeOf(node.node)}: its iterations are more than ${UNROLLED_NODES_MAX} operations`);
}

/** What the iterations gave, along a new axis. */
function stack(node: OperatorContext, values: readonly Value[], axis: number, body: Graph, output: number): Value {
  const { builder } = node;
  const [first] = values;
  if (first) {
    const at = node.axis(axis, first.dims.length + 1);
    const dims = [...first.dims.slice(0, at), 1, ...first.dims.slice(at)];
    return builder.concat(
      values.map((value) => builder.reshape(value, dims)),
      at,
    );
  }
  const declared = body.outputs[output];
  if (!declared?.dims || !isDataType(declared.type)) throw node.unsupported('a loop without iterations');
  const dims = declared.dims.map((size) => (typeof size === 'number' ? size : 0));
  return builder.literal(declared.type, [0, ...dims], []);
}

export const loop: Build = (node) => {
  const { builder } = node;
  const body = node.graph('body');
  const most = node.optional(0) ? (node.numbers(0)[0] as number) : Infinity;
  let goesOn = node.optional(1) ? node.numbers(1)[0] !== 0 : true;
  let carried = node.inputs.slice(2).map((_, index) => node.input(index + 2));
  const states = carried.length;
  const gathered = body.outputs.slice(states + 1).map((): Value[] => []);
  const before = builder.nodes.length;
  for (let iteration = 0; goesOn && iteration < most; iteration++) {
    checkIterations(node, iteration + 1);
    checkUnrolled(node, before);
    const condition = builder.literal('bool', [], [1]);
    const results = node.inline(body, 'body', [builder.literal('int64', [], [iteration]), condition, ...carried]);
    const [next, ...rest] = results as [Value, ...Value[]];
    carried = rest.slice(0, states);
    rest.slice(states).forEach((value, index) => {
      gathered[index]?.push(value);
    });
    goesOn = Number(node.contentsOf(next, 'the condition of the loop').data[0]) !== 0;
  }
  return [...carried, ...gathered.map((values, index) => stack(node, values, 0, body, states + 1 + index))];
};

interface Axes {
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

function scanOver(node: OperatorContext, body: Graph, initial: readonly Value[], xs: readonly Value[], axes: Axes) {
  const { builder } = node;
  const along = xs.map((x, index) => node.axis(axes.inputs[index] ?? 0, x.dims.length));
  const count = xs[0]?.dims[along[0] as number] ?? 0;
  checkIterations(node, count);
  if (xs.some((x, index) => x.dims[along[index] as number] !== count))
    throw new Error(`expected inputs to scan of ${count} parts, got ${xs.map((x) => `[${x.dims}]`).join(', ')}`);
  const backwards = (name: string, index: number): boolean => node.ints(name)?.[index] === 1;
  let states = initial;
  const gathered = body.outputs.slice(initial.length).map((): Value[] => []);
  const before = builder.nodes.length;
  for (let step = 0; step < count; step++) {
    checkUnrolled(node, before);
    const parts = xs.map((x, index) => {
      const axis = along[index] as number;
      const names = [...(['scan_input_directions', 'directions'] as const)];
      const at = names.some((name) => backwards(name, index)) ? count - 1 - step : step;
      return builder.reshape(
        builder.sliceAxis(x, axis, at, at + 1),
        x.dims.filter((_, i) => i !== axis),
      );
    });
    const results = node.inline(body, 'body', [...states, ...parts]);
    states = results.slice(0, initial.length);
    results.slice(initial.length).forEach((value, index) => {
      if (backwards('scan_output_directions', index)) gathered[index]?.unshift(value);
      else gathered[index]?.push(value);
    });
  }
  const stacked = gathered.map((values, index) =>
    stack(node, values, axes.outputs[index] ?? 0, body, initial.length + index),
  );
  return [...states, ...stacked];
}

export const scan: Build = (node) => {
  const body = node.graph('body');
  const scanned = node.int('num_scan_inputs');
  const inputs = node.inputs.map((_, index) => node.input(index));
  const axes = { inputs: node.ints('scan_input_axes') ?? [], outputs: node.ints('scan_output_axes') ?? [] };
  const states = inputs.length - scanned;
  return scanOver(node, body, inputs.slice(0, states), inputs.slice(states), axes);
};

/** Version 8 has a batch axis in front of everything; its parts do not see each other. */
export const scanBatches: Build = (node) => {
  const { builder } = node;
  const body = node.graph('body');
  if (node.optional(0)) throw node.unsupported('"sequence_lens"');
  const inputs = node.inputs.slice(1).map((_, index) => node.input(index + 1));
  const states = inputs.length - node.int('num_scan_inputs');
  const batch = inputs[0]?.dims[0] ?? 0;
  checkIterations(node, batch);
  const results = Array.from({ length: batch }, (_, index) => {
    const parts = inputs.map((x) => builder.reshape(builder.sliceAxis(x, 0, index, index + 1), x.dims.slice(1)));
    return scanOver(node, body, parts.slice(0, states), parts.slice(states), { inputs: [], outputs: [] });
  });
  return body.outputs.map((_, output) =>
    stack(
      node,
      results.map((each) => each[output] as Value),
      0,
      body,
      output,
    ),
  );
};
