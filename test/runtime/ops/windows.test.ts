/** Conv, ConvTranspose and the pools against plain loops over their definitions, on random shapes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { Random } from '../../random.ts';
import { farthest, onnxModel } from '../compile/graphs.ts';
import { TestModel } from '../compile/run-program.ts';

interface Shape {
  readonly batch: number;
  readonly channels: number;
  readonly outputs: number;
  readonly group: number;
  readonly size: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  /** All begins, then all ends. */
  readonly pads: readonly number[];
}

function randomShape(random: Random, rank: number): Shape {
  const group = random.pick([1, 1, 2, 3]);
  const each = (least: number, count: number): number[] =>
    Array.from({ length: rank }, () => least + random.below(count));
  const kernel = each(1, 3);
  return {
    batch: 1 + random.below(2),
    channels: group * (1 + random.below(5)),
    outputs: group * (1 + random.below(9)),
    group,
    size: each(5, 6),
    kernel,
    strides: each(1, 2),
    dilations: each(1, 2),
    pads: [...kernel, ...kernel].map((size) => random.below(size)),
  };
}

function attributesOf({ group, kernel, strides, dilations, pads }: Shape, withGroup: boolean) {
  return { kernel_shape: kernel, strides, dilations, pads, ...(withGroup ? { group } : {}) };
}

/** Reads and writes [n, c, ...] by channel and place. */
class Plane {
  readonly data: Float64Array;
  readonly dims: readonly number[];

  constructor(dims: readonly number[], data = new Float64Array(elementCount(dims))) {
    this.dims = dims;
    this.data = data;
  }

  at(n: number, c: number, place: readonly number[]): number {
    let index = n * (this.dims[1] as number) + c;
    place.forEach((coordinate, axis) => {
      index = index * (this.dims[axis + 2] as number) + coordinate;
    });
    return index;
  }

  holds(place: readonly number[]): boolean {
    return place.every((coordinate, axis) => coordinate >= 0 && coordinate < (this.dims[axis + 2] as number));
  }
}

function* places(size: readonly number[]): Generator<number[]> {
  for (let index = 0; index < elementCount(size); index++) {
    let rest = index;
    yield size.map((_, axis) => {
      const inner = elementCount(size.slice(axis + 1));
      const at = Math.floor(rest / inner);
      rest %= inner;
      return at;
    });
  }
}

function planeOf(tensor: Tensor): Plane {
  return new Plane(tensor.dims, Float64Array.from(tensor.data as Float32Array));
}

function resultOf(plane: Plane): Tensor {
  return { type: 'float64', dims: plane.dims, data: plane.data };
}

function windowSize({ size, kernel, strides, dilations, pads }: Shape): number[] {
  return size.map((length, axis) => {
    const padded = length + (pads[axis] as number) + (pads[axis + size.length] as number);
    const reach = ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1;
    return Math.floor((padded - reach) / (strides[axis] as number)) + 1;
  });
}

/** The input element under tap `tap` of the window at `place`. */
function source({ strides, dilations, pads }: Shape, place: readonly number[], tap: readonly number[]): number[] {
  return place.map(
    (at, axis) =>
      at * (strides[axis] as number) + (tap[axis] as number) * (dilations[axis] as number) - (pads[axis] as number),
  );
}

function convolve(shape: Shape, x: Plane, w: Plane, b: Plane): Plane {
  const y = new Plane([shape.batch, shape.outputs, ...windowSize(shape)]);
  const perGroup = shape.channels / shape.group;
  for (let n = 0; n < shape.batch; n++)
    for (let m = 0; m < shape.outputs; m++)
      for (const place of places(y.dims.slice(2))) {
        const first = Math.floor((m * shape.group) / shape.outputs) * perGroup;
        let sum = b.data[m] as number;
        for (let c = 0; c < perGroup; c++)
          for (const tap of places(shape.kernel)) {
            const from = source(shape, place, tap);
            if (x.holds(from))
              sum += (x.data[x.at(n, first + c, from)] as number) * (w.data[w.at(m, c, tap)] as number);
          }
        y.data[y.at(n, m, place)] = sum;
      }
  return y;
}

/** The convolution whose windows slide over the output: every input element adds to all that it touches. */
function convolveTransposed(shape: Shape, x: Plane, w: Plane, b: Plane): Plane {
  const size = shape.size.map((length, axis) => {
    const reach = ((shape.kernel[axis] as number) - 1) * (shape.dilations[axis] as number) + 1;
    const pads = (shape.pads[axis] as number) + (shape.pads[axis + shape.size.length] as number);
    return (length - 1) * (shape.strides[axis] as number) + reach - pads;
  });
  const y = new Plane([shape.batch, shape.outputs, ...size]);
  const perGroup = shape.outputs / shape.group;
  for (let n = 0; n < shape.batch; n++)
    for (let m = 0; m < shape.outputs; m++) {
      for (const place of places(size)) y.data[y.at(n, m, place)] = b.data[m] as number;
      const group = Math.floor(m / perGroup);
      for (let c = 0; c < shape.channels / shape.group; c++)
        for (const place of places(shape.size))
          for (const tap of places(shape.kernel)) {
            const to = source(shape, place, tap);
            const channel = (group * shape.channels) / shape.group + c;
            if (!y.holds(to)) continue;
            const product =
              (x.data[x.at(n, channel, place)] as number) * (w.data[w.at(channel, m % perGroup, tap)] as number);
            y.data[y.at(n, m, to)] = (y.data[y.at(n, m, to)] as number) + product;
          }
    }
  return y;
}

function pool(shape: Shape, x: Plane, kind: 'max' | 'average'): Plane {
  const y = new Plane([shape.batch, shape.channels, ...windowSize(shape)]);
  for (let n = 0; n < shape.batch; n++)
    for (let c = 0; c < shape.channels; c++)
      for (const place of places(y.dims.slice(2))) {
        const inside = [...places(shape.kernel)]
          .map((tap) => source(shape, place, tap))
          .filter((from) => x.holds(from));
        const values = inside.map((from) => x.data[x.at(n, c, from)] as number);
        const sum = values.reduce((total, value) => total + value, 0);
        y.data[y.at(n, c, place)] = kind === 'max' ? Math.max(...values) : sum / values.length;
      }
  return y;
}

const seed = Number(process.env.SEED ?? 5);

/** Runs one operator on random shapes, with one to three spatial axes. */
function sweep(
  operator: string,
  weighted: boolean,
  reference: (shape: Shape, x: Plane, w: Plane, b: Plane) => Plane,
): void {
  console.log(`${operator}: seed ${seed}`);
  let seen = 0;
  for (let round = 0; round < 60; round++) {
    const random = new Random(seed * 1000 + round);
    const drawn = randomShape(random, 1 + (round % 3));
    // A pool has no groups; where a window would hold nothing but padding, its maximum is not defined.
    const shape = weighted ? drawn : { ...drawn, group: 1, dilations: drawn.dilations.map(() => 1) };
    const { channels, outputs, group, kernel } = shape;
    const x = random.tensor([shape.batch, channels, ...shape.size]);
    const transposed = operator === 'ConvTranspose';
    const w = random.tensor(
      transposed ? [channels, outputs / group, ...kernel] : [outputs, channels / group, ...kernel],
    );
    const b = random.tensor([outputs]);
    const wanted = reference(shape, planeOf(x), planeOf(w), planeOf(b));
    if (wanted.dims.some((size) => size < 1)) continue;
    const model = onnxModel({
      inputs: ['x'],
      outputs: ['y'],
      initializers: weighted ? { w, b } : {},
      opset: 11,
      nodes: [
        {
          operator,
          inputs: weighted ? ['x', 'w', 'b'] : ['x'],
          outputs: ['y'],
          attributes: attributesOf(shape, weighted),
        },
      ],
    });
    const got = new TestModel(model).run({ x });
    const error = farthest(got, { y: resultOf(wanted) });
    assert.ok(error < 1e-5, `round ${round}: ${error} for ${JSON.stringify(shape)}`);
    seen++;
  }
  assert.ok(seen > 45, `saw only ${seen} shapes`);
}

test('Conv is the sum over windows, channels and taps', () => sweep('Conv', true, convolve));

test('ConvTranspose spreads every input element over its window', () =>
  sweep('ConvTranspose', true, convolveTransposed));

test('MaxPool takes the largest element of a window, padding aside', () =>
  sweep('MaxPool', false, (shape, x) => pool(shape, x, 'max')));

test('AveragePool takes the mean of a window, padding aside', () =>
  sweep('AveragePool', false, (shape, x) => pool(shape, x, 'average')));

test.run();
