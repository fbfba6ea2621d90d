import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Builder } from '../../../../runtime/compile/builder.ts';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { lookUpFunctions } from '../../../../runtime/compile/passes/lookup.ts';
import type { Random } from '../../../random.ts';
import { build, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

type Step = (builder: Builder, x: Value, random: Random) => Value;
type Bytes = 'int8' | 'uint8';

function quantize(builder: Builder, x: Value, to: Bytes, scale: number): Value {
  return builder.add({ kind: 'quantize', to }, [x, builder.scalar(scale), builder.scalar(to === 'int8' ? -9 : 100)]);
}

function dequantize(builder: Builder, x: Value, scale: number): Value {
  const zero = builder.scalar(x.type === 'int8' ? -9 : 100);
  return builder.add({ kind: 'dequantize' }, [x, builder.scalar(scale), zero]);
}

const SIZE = [1, 40, 50, 8];

const steps: Readonly<Record<string, Step>> = {
  'another scale': (_, x) => x,
  'a function': (builder, x) => builder.unary('sigmoid', x),
  'a number': (builder, x) => builder.binary('sub', builder.scalar(0.3), x),
  'a number a channel': (builder, x, random) =>
    builder.binary('prelu', x, builder.constant(random.tensor([1, 1, 1, 8]))),
  'batch normalisation and a function': (builder, x, random) => {
    const scaled = builder.binary('mul', x, builder.constant(random.tensor([8])));
    return builder.unary('relu', builder.binary('add', scaled, builder.constant(random.tensor([8]))));
  },
};

for (const [name, step] of Object.entries(steps))
  for (const [from, to] of [
    ['int8', 'uint8'],
    ['uint8', 'int8'],
  ] as const)
    test(`${name} between ${from} and ${to} is looked up, and gives the very same`, () => {
      const { graph, inputs, keys } = build({ x: SIZE }, (builder, [x], random) => {
        const real = dequantize(builder, quantize(builder, x as Value, from, 0.013), 0.013);
        return [quantize(builder, step(builder, real, random), to, 0.011)];
      });
      const result = lookUpFunctions(graph, keys);
      const large = result.nodes.filter(({ outputs }) => outputs[0]?.dims.join() === SIZE.join());
      assert.equal(
        large.map(({ operation }) => operation.kind),
        ['quantize', 'lookup'],
      );
      const [got, wanted] = [runGraph(result, inputs), runGraph(graph, inputs)].map(({ y0 }) => y0);
      assert.equal(got, wanted);
      assert.ok(new Set(wanted?.data as Int8Array).size > 8, 'results that say nothing');
    });

test('a concatenation of several scales joins what was looked up', () => {
  const { graph, inputs, keys } = build({ x: SIZE, z: SIZE }, (builder, [x, z]) => {
    const parts = [x, z].map((each, i) =>
      dequantize(builder, quantize(builder, each as Value, 'int8', 0.01 + i / 100), 0.01 + i / 100),
    );
    return [quantize(builder, builder.concat(parts, 3), 'int8', 0.02)];
  });
  const result = lookUpFunctions(graph, keys);
  assert.equal(kindsOf(result).slice(-1), ['concat']);
  assert.is(kindsOf(result).filter((kind) => kind === 'lookup').length, 2);
  assert.equal(runGraph(result, inputs), runGraph(graph, inputs));
});

test('few elements, and functions of two values, stay', () => {
  const { graph, keys } = build({ x: SIZE, z: [1, 8] }, (builder, [x, z]) => {
    const [real, small] = [x, z].map((each) => dequantize(builder, quantize(builder, each as Value, 'int8', 0.1), 0.1));
    const product = builder.binary('mul', real as Value, builder.unary('exp', real as Value));
    return [quantize(builder, product, 'int8', 1), quantize(builder, small as Value, 'int8', 1)];
  });
  assert.not(kindsOf(lookUpFunctions(graph, keys)).includes('lookup'));
});

test.run();
