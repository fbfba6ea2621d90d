/** Operators that are composed of others, on random shapes, against onnxruntime. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { tensorOf } from '../../../runtime/compile/evaluate.ts';
import type { DataType, Tensor } from '../../../runtime/engine/tensor.ts';
import { judge } from '../../onnx/random-graphs/compare.ts';
import type { Attributes, GraphValue, RandomGraph } from '../../onnx/random-graphs/graph.ts';
import { Random } from '../../random.ts';
import { farthest, onnxModel } from '../compile/graphs.ts';
import { TestModel } from '../compile/run-program.ts';

interface Single {
  readonly operator: string;
  readonly opset: number;
  /** Those that a run is given; the others are in the file. */
  readonly inputs: readonly Tensor[];
  readonly constants?: readonly (Tensor | undefined)[];
  readonly outputs?: readonly DataType[];
  readonly attributes: Attributes;
}

function graphOf({ operator, opset, inputs, constants = [], outputs = ['float32'], attributes }: Single): RandomGraph {
  const named = (prefix: string, tensors: readonly (Tensor | undefined)[]): [string, Tensor][] =>
    tensors.flatMap((tensor, i): [string, Tensor][] => (tensor ? [[`${prefix}${i}`, tensor]] : []));
  const values = outputs.map((type, i): GraphValue => ({ name: `y${i}`, type, dims: [], low: -1, high: 1 }));
  const names = [...inputs.map((_, i) => `x${i}`), ...constants.map((tensor, i) => (tensor ? `c${i}` : ''))];
  return {
    opset,
    inputs: Object.fromEntries(named('x', inputs)),
    constants: Object.fromEntries(named('c', constants)),
    nodes: [{ operator, inputs: names, outputs: values, attributes }],
    outputs: values,
  };
}

const seed = Number(process.env.SEED ?? 7);

async function sweep(title: string, rounds: number, draw: (random: Random, round: number) => Single): Promise<void> {
  console.log(`${title}: seed ${seed}`);
  let equal = 0;
  for (let round = 0; round < rounds; round++) {
    const single = draw(new Random(seed * 1000 + round), round);
    const verdict = await judge(graphOf(single));
    const { operator, opset, inputs, attributes } = single;
    const place = `${operator}-${opset} of [${inputs.map(({ dims }) => dims).join('] [')}] ${JSON.stringify(attributes)}`;
    assert.ok(
      verdict.kind !== 'mismatch' && verdict.kind !== 'unsupported',
      `round ${round}: ${place}: ${JSON.stringify(verdict)}`,
    );
    if (verdict.kind === 'equal') equal++;
    else if (process.env.SHOW) console.log(place, JSON.stringify(verdict));
  }
  assert.ok(equal > rounds / 2, `only ${equal} of ${rounds} could be compared`);
}

const whole = (value: number): Tensor => tensorOf('int64', [], [value]);

function einsum(random: Random): Single {
  const letters = ['a', 'b', 'c', 'd', 'e'];
  const sizes = letters.map(() => 1 + random.below(4));
  const ellipsis = Array.from({ length: random.below(3) }, () => 1 + random.below(3));
  const terms = Array.from({ length: 1 + random.below(3) }, () => {
    const names = Array.from({ length: random.below(4) }, () => random.pick(letters));
    if (random.below(3) > 0) return { names: [...new Set(names)], spread: -1 };
    return { names, spread: random.below(names.length + 1) };
  });
  const dimsOf = ({ names, spread }: (typeof terms)[number]): number[] => {
    const own = names.map((name) => sizes[letters.indexOf(name)] as number);
    return spread < 0 ? own : [...own.slice(0, spread), ...ellipsis, ...own.slice(spread)];
  };
  const text = ({ names, spread }: (typeof terms)[number]): string =>
    spread < 0 ? names.join('') : `${names.slice(0, spread).join('')}...${names.slice(spread).join('')}`;
  const used = [...new Set(terms.flatMap(({ names }) => names))];
  const kept = random.shuffled(used.length).slice(0, random.below(used.length + 1));
  const spreads = terms.some(({ spread }) => spread >= 0);
  const right = `${spreads ? '...' : ''}${kept.map((i) => used[i]).join('')}`;
  const left = terms.map(text).join(random.pick([',', ', ']));
  const equation = random.below(4) === 0 ? left : `${left}->${right}`;
  const inputs = terms.map((term) => random.tensor(dimsOf(term)));
  return { operator: 'Einsum', opset: 12, inputs, attributes: { equation: { text: equation } } };
}

test('Einsum sums products over any equation', () => sweep('Einsum', 120, einsum));

function dft(random: Random, round: number): Single {
  const opset = random.pick([17, 20]);
  // Of other lengths its own numbers are off by 1e-4.
  const length = random.pick([1, 2, 16, 64, 512, 1024]);
  const inverse = random.below(2);
  const onesided = inverse ? 0 : random.below(2);
  const parts = onesided ? 1 : 1 + random.below(2);
  const outer = 1 + random.below(3);
  const axis = random.below(2);
  const inner = [outer, length];
  const x = random.tensor([1 + random.below(2), ...(axis ? inner : inner.reverse()), parts]);
  const attributes = { inverse: { int: inverse }, onesided: { int: onesided } };
  const wanted = round % 3 === 0 ? whole(random.pick([8, 32])) : undefined;
  if (opset < 20)
    return {
      operator: 'DFT',
      opset,
      inputs: [x],
      constants: wanted ? [wanted] : [],
      attributes: { ...attributes, axis: { int: 1 + axis } },
    };
  return { operator: 'DFT', opset, inputs: [x], constants: [wanted, whole(axis - 3)], attributes };
}

test('DFT transforms forwards and back', () => sweep('DFT', 60, dft));

/** Sums of samples times unit vectors, in double precision. */
function fourierSums(x: Tensor, sign: 1 | -1): Float64Array {
  const length = x.dims[1] as number;
  const sums = new Float64Array(length * 2);
  for (let k = 0; k < length; k++)
    for (let n = 0; n < length; n++) {
      const angle = (2 * Math.PI * ((n * k) % length)) / length;
      const [re, im] = [x.data[2 * n] as number, x.data[2 * n + 1] as number];
      sums[2 * k] = (sums[2 * k] as number) + re * Math.cos(angle) - sign * im * Math.sin(angle);
      sums[2 * k + 1] = (sums[2 * k + 1] as number) + im * Math.cos(angle) + sign * re * Math.sin(angle);
    }
  return sums;
}

test('DFT transforms lengths of any factors, and a half spectrum back into a signal', () => {
  const random = new Random(seed);
  for (const length of [1, 2, 3, 7, 60, 257, 300, 509, 600, 1000, 2 * 3 * 5 * 7 * 11]) {
    const x = random.tensor([1, length, 2]);
    const transform = (attributes: Record<string, number>, input: Tensor): Tensor => {
      const node = { operator: 'DFT', inputs: ['x', 'n', 'a'], outputs: ['y'], attributes };
      const initializers = { n: whole(length), a: whole(1) };
      const model = onnxModel({ nodes: [node], inputs: ['x'], outputs: ['y'], initializers, opset: 20 });
      return new TestModel(model).run({ x: input }).y as Tensor;
    };
    const check = (got: Tensor, wanted: Float64Array, dims: readonly number[]): void => {
      const error = farthest({ y: got }, { y: { type: 'float64', dims, data: wanted } });
      assert.ok(error < 2e-6, `length ${length}: ${error}`);
    };
    check(transform({}, x), fourierSums(x, -1), x.dims);
    check(
      transform({ inverse: 1 }, x),
      fourierSums(x, 1).map((sum) => sum / length),
      x.dims,
    );
    const signal = random.tensor([1, length, 1]);
    const half = transform({ onesided: 1 }, signal);
    assert.equal(half.dims, [1, Math.floor(length / 2) + 1, 2]);
    check(transform({ onesided: 1, inverse: 1 }, half), Float64Array.from(signal.data as Float32Array), signal.dims);
  }
});

test('DFT of a length that is split twice turns an impulse into a wave', () => {
  const [length, at] = [2 ** 17, 777];
  const data = new Float32Array(length);
  data[at] = 1;
  const nodes = [{ operator: 'DFT', inputs: ['x'], outputs: ['y'], attributes: { onesided: 1 } }];
  const model = onnxModel({ nodes, inputs: ['x'], outputs: ['y'] });
  const { y } = new TestModel(model).run({ x: { type: 'float32', dims: [1, length, 1], data } }) as { y: Tensor };
  const wave = Float64Array.from({ length: length + 2 }, (_, i) => {
    const angle = (2 * Math.PI * ((Math.floor(i / 2) * at) % length)) / length;
    return i % 2 === 0 ? Math.cos(angle) : -Math.sin(angle);
  });
  const error = farthest({ y }, { y: { type: 'float64', dims: [1, length / 2 + 1, 2], data: wave } });
  assert.ok(error < 1e-6, `${error}`);
});

function stft(random: Random): Single {
  const length = random.pick([4, 9, 16, 25, 128]);
  const onesided = random.below(2);
  const signal = random.tensor([1 + random.below(2), length + random.below(100), 1]);
  const window = random.below(2) ? random.tensor([length]) : undefined;
  const constants = [whole(1 + random.below(length)), window, whole(length)];
  return { operator: 'STFT', opset: 17, inputs: [signal], constants, attributes: { onesided: { int: onesided } } };
}

test('STFT transforms frame by frame', () => sweep('STFT', 20, stft));

function pooling(random: Random): { x: Tensor; attributes: Record<string, { ints: number[] }> } {
  const rank = 1 + random.below(3);
  const each = (least: number, count: number): number[] =>
    Array.from({ length: rank }, () => least + random.below(count));
  const kernel = each(1, 3);
  const pads = [...kernel, ...kernel].map((size) => random.below(size));
  const x = random.tensor([1 + random.below(2), 1 + random.below(5), ...each(5, 5)]);
  return { x, attributes: { kernel_shape: { ints: kernel }, pads: { ints: pads }, strides: { ints: each(1, 3) } } };
}

test('STFT of long frames gives what the transforms of the frames give', () => {
  const random = new Random(seed);
  const [length, step] = [2400, 1000];
  const window = random.tensor([length]);
  const signal = random.tensor([1, length + 2 * step, 1]);
  const nodes = [{ operator: 'STFT', inputs: ['x', 'step', 'window'], outputs: ['y'], attributes: { onesided: 0 } }];
  const initializers = { step: whole(step), window };
  const model = onnxModel({ nodes, inputs: ['x'], outputs: ['y'], initializers });
  const { y } = new TestModel(model).run({ x: signal }) as { y: Tensor };
  const sums = [0, 1, 2].flatMap((frame) => {
    const data = new Float64Array(length * 2);
    for (let i = 0; i < length; i++)
      data[2 * i] = (signal.data[frame * step + i] as number) * (window.data[i] as number);
    return [...fourierSums({ type: 'float64', dims: [1, length, 2], data }, -1)];
  });
  const error = farthest({ y }, { y: { type: 'float64', dims: [1, 3, length, 2], data: Float64Array.from(sums) } });
  assert.ok(error < 2e-6, `${error}`);
});

test('MaxPool says where the largest element of a window lies', () =>
  sweep('MaxPool', 30, (random) => {
    const { x, attributes } = pooling(random);
    const storage = { storage_order: { int: random.below(2) }, ceil_mode: { int: random.below(2) } };
    return {
      operator: 'MaxPool',
      opset: 12,
      inputs: [x],
      outputs: ['float32', 'int64'],
      attributes: { ...attributes, ...storage },
    };
  }));

test('AveragePool counts padding when it is told to, and windows that reach beyond', () =>
  sweep('AveragePool', 30, (random) => {
    const { x, attributes } = pooling(random);
    const counted = { count_include_pad: { int: random.below(2) }, ceil_mode: { int: random.below(2) } };
    return { operator: 'AveragePool', opset: 19, inputs: [x], attributes: { ...attributes, ...counted } };
  }));

test('LpPool takes the norm of a window', () =>
  sweep('LpPool', 30, (random) => {
    const { x, attributes } = pooling(random);
    return {
      operator: 'LpPool',
      opset: 18,
      inputs: [x],
      attributes: { ...attributes, p: { int: 1 + random.below(3) } },
    };
  }));

test('GlobalLpPool takes the norm of a picture', () =>
  sweep('GlobalLpPool', 6, (random) => {
    const attributes = { p: { int: 1 + random.below(3) } };
    return { operator: 'GlobalLpPool', opset: 17, inputs: [pooling(random).x], attributes };
  }));

test('MaxRoiPool takes the largest elements of the parts of regions', () =>
  sweep('MaxRoiPool', 12, (random) => {
    const x = random.tensor([2, 1 + random.below(6), 9, 7]);
    const rois = Array.from({ length: 1 + random.below(4) }, () => {
      const [left, top] = [random.below(12), random.below(12)];
      return [random.below(2), left, top, left + random.below(12), top + random.below(12)];
    });
    const shape = { pooled_shape: { ints: [1 + random.below(3), 1 + random.below(3)] }, spatial_scale: { float: 0.5 } };
    return {
      operator: 'MaxRoiPool',
      opset: 17,
      inputs: [x, tensorOf('float32', [rois.length, 5], rois.flat())],
      attributes: shape,
    };
  }));

test('LRN divides by the power of the neighbouring channels', () =>
  sweep('LRN', 12, (random) => {
    const x = random.tensor([1 + random.below(2), 1 + random.below(9), 1 + random.below(4), 3]);
    const numbers = {
      alpha: { float: random.next() },
      beta: { float: random.next() },
      bias: { float: 1 + random.next() },
    };
    return {
      operator: 'LRN',
      opset: 13,
      inputs: [x],
      attributes: { ...numbers, size: { int: 1 + 2 * random.below(3) } },
    };
  }));

test('windows and mel filters are tables', () =>
  sweep('windows', 20, (random) => {
    const operator = random.pick(['HannWindow', 'HammingWindow', 'BlackmanWindow', 'MelWeightMatrix']);
    if (operator !== 'MelWeightMatrix') {
      const attributes = { periodic: { int: random.below(2) } };
      return { operator, opset: 17, inputs: [], constants: [whole(2 + random.below(40))], attributes };
    }
    const edges = [
      tensorOf('float32', [], [100 * random.below(5)]),
      tensorOf('float32', [], [4000 + random.below(4000)]),
    ];
    const constants = [whole(1 + random.below(40)), whole(random.pick([64, 400, 512])), whole(16_000), ...edges];
    return { operator, opset: 17, inputs: [], constants, attributes: {} };
  }));

test.run();
