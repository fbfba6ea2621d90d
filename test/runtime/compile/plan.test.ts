import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Builder, ConstantKeys } from '../../../runtime/compile/builder.ts';
import type { Value } from '../../../runtime/compile/graph.ts';
import { bytesOf, planMemory } from '../../../runtime/compile/plan.ts';
import { Random } from '../../random.ts';
import { build, evaluateGraph, farthest } from './graphs.ts';
import { runGraph } from './run-program.ts';

test('a long chain needs room for its input only, over which each step writes', () => {
  const { graph } = build({ x: [1000] }, (builder, [x]) => {
    let y = builder.unary('exp', x as Value);
    for (let i = 0; i < 20; i++) y = builder.unary(i % 2 ? 'sin' : 'cos', y);
    return [y];
  });
  assert.is(planMemory(graph, () => 0).arenaBytes, 4032);
});

test('inputs and outputs share no memory with anything that is written after them', () => {
  const { graph, inputs } = build({ x: [64], other: [64] }, (builder, [x, other]) => {
    const early = builder.unary('exp', x as Value);
    let y = builder.binary('add', x as Value, other as Value);
    for (let i = 0; i < 5; i++) y = builder.binary('mul', y, builder.unary('sin', y));
    return [early, y, x as Value];
  });
  const results = runGraph(graph, inputs);
  assert.ok(farthest(results, evaluateGraph(graph, inputs)) < 1e-6);
  assert.equal(results.y2?.data, inputs.x?.data);
});

test('a part of a tensor lies where the tensor lies', () => {
  const { graph, inputs } = build({ x: [4, 8] }, (builder, [x]) => {
    const y = builder.unary('exp', x as Value);
    return [builder.sliceAxis(y, 0, 1, 3), builder.reshape(y, [32]), builder.sliceAxis(y, 1, 0, 4)];
  });
  const plan = planMemory(graph, () => 0);
  const [, slice, reshape, columns] = graph.nodes as [unknown, ...typeof graph.nodes];
  assert.equal(
    [slice, reshape, columns].map((node) => node && plan.isView(node)),
    [true, true, false],
  );
  assert.ok(farthest(runGraph(graph, inputs), evaluateGraph(graph, inputs)) < 1e-6);
});

test('a tensor is not overwritten by its difference to a part of itself, which every row needs', () => {
  const { graph, inputs } = build({ x: [4, 8] }, (builder, [x]) => {
    const [y, z] = [builder.unary('exp', x as Value), builder.unary('sin', x as Value)];
    return [
      builder.binary('sub', y, builder.sliceAxis(y, 0, 0, 1)),
      builder.binary('add', builder.sliceAxis(z, 0, 0, 1), z),
    ];
  });
  assert.ok(farthest(runGraph(graph, inputs), evaluateGraph(graph, inputs)) < 1e-6);
});

test('values that are alive together never overlap, unless one is a part of the other', () => {
  const seed = Number(process.env.SEED ?? 11);
  console.log(`seed ${seed}`);
  let pairs = 0;
  for (let round = 0; round < 40; round++) {
    const random = new Random(seed * 1000 + round);
    const { graph } = build({ a: [16], b: [8, 3] }, (builder, inputs) => {
      const values: Value[] = [...inputs];
      for (let step = 0; step < 30; step++) {
        const x = random.pick(values);
        const rest = x.dims.slice(1).join();
        const partner = random.pick(values.filter((value) => value.dims.slice(1).join() === rest));
        const short = (value: Value): Value => builder.sliceAxis(value, 0, 0, Math.min(value.dims[0] as number, 8));
        // A concatenation never works in place, so its operands must stay whole beside it.
        values.push(builder.concat([short(x), partner], 0));
      }
      return values.slice(-4);
    });
    const plan = planMemory(graph, () => 48);
    for (const node of graph.nodes) {
      if (node.operation.kind !== 'concat') continue;
      const [y] = node.outputs as [Value];
      for (const x of node.inputs as Value[]) {
        if (graph.nodes.some((other) => other.outputs[0] === x && plan.isView(other))) continue;
        const [from, to] = [plan.offsetOf(x), plan.offsetOf(y)];
        assert.ok(from + bytesOf(x) <= to || to + bytesOf(y) <= from, `round ${round}`);
        const scratch = plan.scratchOf(node).offset;
        assert.ok(scratch + 48 <= from || from + bytesOf(x) <= scratch, `round ${round}: scratch`);
        pairs++;
      }
    }
  }
  assert.ok(pairs > 300, `saw only ${pairs} pairs`);
});

test('a graph that needs more than an address can reach is refused', () => {
  const builder = new Builder(new ConstantKeys());
  const value = builder.input('float32', [200_000_000]);
  const y = builder.unary('exp', value);
  const outputs = [y, builder.unary('sin', y)].map((each, i) => ({ name: `y${i}`, value: each }));
  const graph = { inputs: [{ name: 'x', value }], outputs, nodes: builder.nodes };
  assert.throws(() => planMemory(graph, () => 0), /less than 1073741824 bytes, got 1600000000; try a smaller input/);
});

test.run();
