import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { END, FORK, LEAD } from '../../../assembly/opcodes.ts';
import { findGroups, slicesOf } from '../../../runtime/compile/bands.ts';
import type { Builder } from '../../../runtime/compile/builder.ts';
import type { KernelGraph, Operation, Value } from '../../../runtime/compile/graph.ts';
import type { Window2d } from '../../../runtime/compile/instructions.ts';
import { planMemory } from '../../../runtime/compile/plan.ts';
import type { Program } from '../../../runtime/compile/program.ts';
import { rowBytesOf } from '../../../runtime/compile/rows.ts';
import { Random } from '../../random.ts';
import { build, kindsOf, sameBits } from './graphs.ts';
import { runGraph } from './run-program.ts';

/** Every result is an output, so that all of them are whole and nothing is done in bands. */
function withAllResults(graph: KernelGraph): KernelGraph {
  const results = graph.nodes.map((node, index) => ({ name: `all${index}`, value: node.outputs[0] as Value }));
  return { ...graph, outputs: [...graph.outputs, ...results] };
}

function conv(
  builder: Builder,
  x: Value,
  random: Random,
  channels: number,
  window: Partial<Window2d>,
  group = 1,
): Value {
  const whole: Window2d = { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0], ...window };
  const [, , , inputs = 0] = x.dims;
  const weights = builder.constant(random.tensor([channels, inputs / group, ...whole.kernel]));
  const bias = builder.constant(random.tensor([channels]));
  return builder.add({ kind: 'conv', window: whole, group }, [x, weights, bias]);
}

const around = { kernel: [3, 3], pads: [1, 1, 1, 1] } as const;

/** MobileNetV2's block: expand, filter, project, add. */
function invertedResidual(builder: Builder, x: Value, random: Random): Value {
  const wide = builder.unary('relu', conv(builder, x, random, 144, {}));
  const filtered = builder.unary('relu', conv(builder, wide, random, 144, around, 144));
  return builder.binary('add', conv(builder, filtered, random, 24, {}), x);
}

test('what a wide block keeps between its ends takes a few rows only', () => {
  const { graph } = build({ x: [1, 56, 56, 24] }, (builder, [x], random) => [
    builder.unary('tanh', invertedResidual(builder, x as Value, random)),
  ]);
  const [group] = findGroups(graph);
  assert.ok(group && group.first === 0 && group.bands > 2, JSON.stringify(group));
  const plan = planMemory(graph, () => 0, [group]);
  assert.ok(plan.arenaBytes < planMemory(graph, () => 0).arenaBytes / 2, `${plan.arenaBytes} bytes`);
});

test('small images, and what others read as well, are not done in bands', () => {
  const small = build({ x: [1, 14, 14, 24] }, (builder, [x], random) => [
    invertedResidual(builder, x as Value, random),
  ]).graph;
  assert.equal(findGroups(small), []);
  const large = build({ x: [1, 56, 56, 24] }, (builder, [x], random) => [
    invertedResidual(builder, x as Value, random),
  ]).graph;
  assert.is(findGroups(large).length, 1);
  assert.equal(findGroups(withAllResults(large)), []);
});

/** Something that works by rows, of about as many channels. */
function anyLayer(builder: Builder, values: readonly Value[], random: Random): Value {
  const x = values.at(-1) as Value;
  const [, height = 0, width = 0, channels = 0] = x.dims;
  const pick = <T>(...list: readonly T[]): T => random.pick(list);
  const size = pick(2, 3, 5);
  const [strides, dilation] = pick([[1, 1], 1], [[1, 1], 2], [[2, 1], 1]) as [Window2d['strides'], number];
  const reach = (size - 1) * dilation;
  const pads = [pick(0, Math.min(1, reach), reach), reach, pick(0, reach), 0] as const;
  const window: Window2d = { kernel: [size, size], strides, dilations: [dilation, dilation], pads };
  const outputSize = [
    Math.floor((height + pads[0] + pads[2] - reach - 1) / strides[0]) + 1,
    Math.floor((width + pads[1] - reach - 1) / strides[1]) + 1,
  ] as const;
  const alike = values.filter(({ dims }) => dims.slice(0, 3).join() === x.dims.slice(0, 3).join());
  const layers: readonly (() => Value)[] = [
    () => conv(builder, x, random, pick(32, 48, 64), {}),
    () => conv(builder, x, random, channels, window, channels),
    () => conv(builder, x, random, 48, window, channels % 8 === 0 ? 8 : 1),
    () => builder.add({ kind: 'maxPool', window, outputSize }, [x]),
    () => builder.add({ kind: 'averagePool', window, outputSize, countIncludePad: pick(true, false) }, [x]),
    () => builder.unary(pick('silu', 'abs'), x),
    () => builder.binary('mul', x, builder.constant(random.tensor([channels]))),
    () => builder.binary('add', x, random.pick(alike.filter(({ dims }) => dims[3] === channels))),
    () => builder.concat([random.pick(alike), x], 3),
    () => builder.add({ kind: 'softmax', axis: 3, log: false }, [x]),
    () => {
      const mode = pick('nearest', 'linear');
      const sources = (from: number, to: number): number[] =>
        Array.from({ length: to }, (_, i) => (i * (from - 1)) / Math.max(1, to - 1));
      const whole = (list: number[]): number[] => (mode === 'nearest' ? list.map(Math.round) : list);
      const rows = whole(sources(height, pick(height, height + 9, 2 * height)));
      const operation: Operation = { kind: 'resize', mode, rows, columns: whole(sources(width, width)) };
      return builder.add(operation, [x]);
    },
  ];
  return random.pick(layers)();
}

/** The chunks of every section in reverse order, each as on a core that has not done the one before. */
function backwards(program: Program): Program {
  const { words } = program;
  const word = (at: number): number => words[at] as number;
  const changed: number[] = [];
  let at = 0;
  while ((word(at) & 0xff) !== END) {
    const end = at + (word(at) >>> 8);
    changed.push(...words.subarray(at, end));
    if ((word(at) & 0xff) !== FORK) {
      at = end;
      continue;
    }
    const count = word(at + 2);
    for (let chunk = count - 1; chunk >= 0; chunk--) {
      const [first, behind] = [at + word(at + 3 + chunk), at + word(at + 4 + chunk)];
      const hasLead = (word(first) & 0xff) === LEAD;
      changed.push(hasLead ? LEAD | (1 << 8) : word(first), ...words.subarray(first + 1, behind));
    }
    at += word(at + 3 + count);
  }
  return { ...program, words: Uint32Array.from([...changed, word(at)]) };
}

test('done in bands, chains of all kinds of layers give the same bits', () => {
  const seed = Number(process.env.SEED ?? 5);
  console.log(`seed ${seed}`);
  const [kinds, sizes, slices] = [new Set<string>(), [] as number[], new Set<number>()];
  for (let round = 0; round < 20; round++) {
    const random = new Random(seed * 1000 + round);
    const height = 60 + random.below(20);
    const { graph, inputs } = build(
      { x: [1, height, 36, 40] },
      (builder, [x]) => {
        const values = [x as Value];
        for (let layer = 0; layer < 8; layer++) values.push(anyLayer(builder, values, random));
        return [values.at(-1) as Value];
      },
      random,
    );
    for (const { first, last, ...group } of findGroups(graph)) {
      sizes.push(last - first + 1);
      slices.add(group.slices);
      for (const kind of kindsOf({ ...graph, nodes: graph.nodes.slice(first, last + 1) })) kinds.add(kind);
    }
    const whole = withAllResults(graph);
    assert.equal(findGroups(whole), []);
    const [banded, plain] = [runGraph(graph, inputs), runGraph(whole, inputs)];
    assert.ok(sameBits(banded.y0, plain.y0), `round ${round}: ${kindsOf(graph)}`);
    const { y0 } = runGraph(graph, inputs, undefined, undefined, backwards);
    assert.ok(sameBits(y0, plain.y0), `round ${round}, slices by themselves: ${kindsOf(graph)}`);
  }
  assert.ok(
    [1, 2, 4].every((count) => slices.has(count)),
    [...slices].join(),
  );
  assert.ok(sizes.length > 6, `only ${sizes.length} groups`);
  assert.ok(kinds.size > 6, [...kinds].join());
});

test('each row of a result is made once, of rows that lie in memory at that time', () => {
  const { graph } = build({ x: [1, 61, 56, 24] }, (builder, [x], random) => {
    const first = invertedResidual(builder, x as Value, random);
    return [conv(builder, first, random, 32, { ...around, dilations: [3, 3], pads: [3, 3, 3, 3], strides: [2, 2] }, 8)];
  });
  const groups = findGroups(graph);
  assert.ok(groups.length > 0);
  for (const group of groups) {
    const made = new Map<Value, number>();
    const slices = slicesOf(graph, group);
    assert.is(slices.length, group.slices);
    for (const step of slices.flatMap(({ steps }) => steps)) {
      if (step.kind === 'move') continue;
      const [part] = step.node.outputs as [Value];
      const { whole, row } = step.images.get(part) as { whole: Value; row: number };
      const rows = part.dims[1] as number;
      const room = (group.buffers.get(whole) ?? Infinity) / rowBytesOf(whole);
      assert.ok(row >= 0 && row + rows <= room, `rows ${row} to ${row + rows} of ${room}`);
      made.set(whole, (made.get(whole) ?? 0) + rows);
    }
    for (const node of graph.nodes.slice(group.first, group.last + 1)) {
      const [y] = node.outputs as [Value];
      const all = y.dims[1] as number;
      const rows = made.get(y) ?? 0;
      // Of what only the others read, rows that no window meets are left out.
      assert.ok(group.buffers.has(y) ? rows <= all : rows === all, `${rows} rows of ${all}`);
    }
  }
});

test.run();
