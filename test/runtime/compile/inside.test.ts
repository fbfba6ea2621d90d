import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../runtime/compile/builder.ts';
import type { KernelGraph, Node, Value } from '../../../runtime/compile/graph.ts';
import { findInside } from '../../../runtime/compile/inside.ts';
import { planMemory } from '../../../runtime/compile/plan.ts';
import { Random } from '../../random.ts';
import { build, kindsOf, sameBits } from './graphs.ts';
import { runGraph } from './run-program.ts';

function conv(builder: Builder, x: Value, random: Random, channels: number, size = 1, group = 1): Value {
  const pad = (size - 1) / 2;
  const window = { kernel: [size, size], strides: [1, 1], dilations: [1, 1], pads: [pad, pad, pad, pad] } as const;
  const weights = builder.constant(random.tensor([channels, (x.dims[3] as number) / group, size, size]));
  return builder.add({ kind: 'conv', window, group }, [x, weights]);
}

/** Which operands of the last concatenation need not be copied. */
function inPlace(graph: KernelGraph): boolean[] {
  const concat = graph.nodes.findLast(({ operation }) => operation.kind === 'concat') as Node;
  const inside = findInside(graph, []);
  return (concat.inputs as readonly Value[]).map((operand) => inside.get(operand)?.concat === concat);
}

test('branches that meet along the channels write where the result has them', () => {
  const { graph } = build({ x: [1, 9, 7, 16] }, (builder, [x], random) => {
    const input = x as Value;
    const branches = [conv(builder, input, random, 12), conv(builder, input, random, 16, 3)];
    branches.push(conv(builder, input, random, 16, 3, 16), builder.binary('mul', input, input));
    return [builder.unary('tanh', builder.concat([...branches, builder.unary('exp', input)], 3))];
  });
  assert.equal(inPlace(graph), [true, true, true, true, false], 'exp writes one number after the other');
});

test('a value stays where it is when somebody reads it who cannot step over others, or it comes or goes as it is', () => {
  const { graph } = build({ x: [1, 9, 7, 16] }, (builder, [x], random) => {
    const [read, given] = [conv(builder, x as Value, random, 8), conv(builder, x as Value, random, 12)];
    const stepped = builder.binary('mul', x as Value, x as Value);
    const joined = builder.concat([read, x as Value, given, stepped], 3);
    return [builder.unary('tanh', joined), builder.unary('exp', read), given, conv(builder, stepped, random, 8)];
  });
  assert.equal(inPlace(graph), [false, false, false, true]);
});

test('the heads of a detector write into the list of all its answers', () => {
  const { graph, inputs } = build({ x: [1, 8, 8, 16], z: [1, 4, 4, 16] }, (builder, [x, z], random) => {
    const heads = [x as Value, z as Value].map((image) => {
      const parts = [4, 1, 7].map((channels) => conv(builder, image, random, channels));
      const [, height = 0, width = 0] = image.dims;
      return builder.reshape(builder.concat(parts, 3), [1, height * width, 12]);
    });
    return [builder.concat(heads, 1)];
  });
  const inside = findInside(graph, []);
  const convs = graph.nodes.filter(({ operation }) => operation.kind === 'conv');
  const places = convs.map((node) => inside.get(node.outputs[0] as Value));
  // A single channel has no pixels to step over.
  assert.equal(
    places.map((place) => place?.offsetBytes),
    [0, undefined, 20, 3072, undefined, 3092],
  );
  const y = graph.outputs[0]?.value;
  assert.ok(places.every((place) => !place || place.host === y));
  const copied = runGraph({ ...graph, outputs: [...graph.outputs, ...resultsOf(graph)] }, inputs);
  assert.ok(sameBits(runGraph(graph, inputs).y0, copied.y0));
});

/** As outputs, all of them lie apart. */
function resultsOf(graph: KernelGraph): { name: string; value: Value }[] {
  return graph.nodes.map((node, index) => ({ name: `all${index}`, value: node.outputs[0] as Value }));
}

function anyStep(builder: Builder, values: readonly Value[], random: Random): Value {
  const x = random.pick(values);
  const [, height = 0, width = 0, channels = 0] = x.dims;
  const alike = values.filter(({ dims }) => dims[1] === height);
  const window = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] } as const;
  const outputSize = [height, width] as const;
  const steps: readonly (() => Value)[] = [
    () => conv(builder, x, random, random.pick([3, 4, 8, 17])),
    () => conv(builder, x, random, random.pick([5, 8, 16]), 3),
    () => conv(builder, x, random, channels, 3, channels),
    () => builder.binary('mul', x, random.pick(alike.filter(({ dims }) => dims[3] === channels))),
    () => builder.binary('add', builder.constant(random.tensor([channels])), x),
    () => builder.unary('tanh', x),
    () => builder.add({ kind: 'maxPool', window, outputSize }, [x]),
    () => builder.add({ kind: 'averagePool', window, outputSize, countIncludePad: true }, [x]),
    () => builder.sliceAxis(x, 3, 0, Math.ceil(channels / 2)),
    () => builder.transpose(builder.transpose(x, [0, 3, 1, 2]), [0, 2, 3, 1]),
    () => builder.concat([random.pick(alike), x], 3),
    () => builder.concat([random.pick(alike), x, random.pick(alike)], 3),
    () =>
      builder.concat([x, builder.concat([x, random.pick(values.filter(({ dims }) => dims[3] === channels))], 1)], 1),
    () => {
      const along = (size: number): number[] => Array.from({ length: size }, (_, i) => i / 2);
      const sources = random.pick([0, 1]) === 0 ? along : (size: number) => along(size).map(Math.floor);
      const mode = sources === along ? 'linear' : 'nearest';
      return builder.add({ kind: 'resize', mode, rows: sources(height), columns: sources(width) }, [x]);
    },
  ];
  return random.pick(steps)();
}

test('with operands inside of results, or copied there, random graphs give the same bits', () => {
  const seed = Number(process.env.SEED ?? 3);
  console.log(`seed ${seed}`);
  let inner = 0;
  const kinds = new Set<string>();
  for (let round = 0; round < 150; round++) {
    const random = new Random(seed * 1000 + round);
    const { graph, inputs } = build(
      { x: [1, 6, 5, 8] },
      (builder, [x]) => {
        const values = [x as Value];
        for (let step = 0; step < 14; step++) {
          const y = anyStep(builder, values, random);
          if ((y.dims[3] as number) <= 64 && (y.dims[1] as number) <= 64) values.push(y);
        }
        return [builder.concat([values.at(-1) as Value, builder.unary('exp', values.at(-1) as Value)], 3)];
      },
      random,
    );
    const inside = findInside(graph, []);
    inner += inside.size;
    for (const node of graph.nodes) if (inside.has(node.outputs[0] as Value)) kinds.add(node.operation.kind);
    const whole = { ...graph, outputs: [...graph.outputs, ...resultsOf(graph)] };
    assert.is(findInside(whole, []).size, 0);
    const [joined, copied] = [runGraph(graph, inputs), runGraph(whole, inputs)];
    assert.ok(sameBits(joined.y0, copied.y0), `round ${round}: ${kindsOf(graph)}`);
  }
  assert.ok(inner > 100, `only ${inner} values inside others`);
  assert.ok(kinds.size > 6, [...kinds].join());
});

test('a concatenation takes no more room than its result', () => {
  const { graph } = build({ x: [1, 16, 16, 8] }, (builder, [x], random) => {
    const branches = [64, 64].map((channels) => conv(builder, x as Value, random, channels));
    return [conv(builder, builder.concat(branches, 3), random, 8)];
  });
  const bytes = planMemory(graph, () => 0, [], findInside(graph, [])).arenaBytes;
  // The output is as large as the input, and lies where that was.
  const [input, whole] = [16 * 16 * 8 * 4, 16 * 16 * 128 * 4];
  assert.is(bytes, input + whole);
});

test.run();
