/** Recipes: sums and extremes along axes, and what is normalised by them. */
import { elementCount } from '../../../runtime/engine/tensor.ts';
import type { Attributes, GraphValue } from './graph.ts';
import { type Maker, plain, type Recipes } from './maker.ts';

function reducedDims(x: GraphValue, axes: readonly number[], keep: boolean): number[] {
  const gone = new Set(axes.map((axis) => plain(axis, x.dims.length)));
  return x.dims.flatMap((size, axis) => (gone.has(axis) ? (keep ? [1] : []) : [size]));
}

type Bound = (x: GraphValue, count: number) => readonly [number, number];

/** `axisInputSince`: the opset from which the axes are an input. */
function reduce(operator: string, bound: Bound, prepare: (maker: Maker) => GraphValue, axisInputSince = 18): Recipes {
  return {
    [operator]: (maker) => {
      const x = prepare(maker);
      const axes = maker.chance(0.15) ? undefined : maker.axes(x.dims.length);
      const keep = maker.chance(0.5);
      const dims = reducedDims(x, axes ?? x.dims.map((_, axis) => axis), keep);
      const [low, high] = bound(x, elementCount(x.dims) / elementCount(dims));
      const attributes: Record<string, Attributes[string]> =
        keep && maker.chance(0.5) ? {} : { keepdims: { int: Number(keep) } };
      const inputs = [x];
      if (axes && maker.opset >= axisInputSince) inputs.push(maker.integers(axes));
      else if (axes) attributes.axes = { ints: axes };
      maker.node(operator, inputs, attributes, { dims, low, high });
    },
  };
}

function extent({ low, high }: GraphValue): number {
  return Math.max(Math.abs(low), Math.abs(high));
}

const any = (maker: Maker) => maker.float(1);
const numbers = (maker: Maker) => maker.anyOf(['float32', 'float32', 'int32', 'int64'], 1);
const span: Bound = (x) => [x.low, x.high];

function argExtreme(operator: string): Recipes {
  return {
    [operator]: (maker) => {
      const x = maker.float(1);
      const axis = maker.axis(x.dims.length);
      const keep = maker.random.below(2);
      const dims = reducedDims(x, [axis], keep === 1);
      const attributes = {
        axis: { int: axis },
        keepdims: { int: keep },
        select_last_index: { int: maker.random.below(2) },
      };
      maker.node(operator, [x], attributes, { dims, type: 'int64', low: 0, high: 1e4 });
    },
  };
}

function alongAxis(operator: string, [low, high]: readonly [number, number]): Recipes {
  return {
    [operator]: (maker) => {
      const x = maker.float(1);
      const axis: Attributes = maker.chance(0.3) ? {} : { axis: { int: maker.axis(x.dims.length) } };
      maker.node(operator, [x], axis, { dims: x.dims, low, high });
    },
  };
}

function cumSum(maker: Maker): void {
  const x = maker.anyOf(['float32', 'float32', 'int32'], 1);
  const axis = maker.constant('int64', [], [maker.axis(x.dims.length)]);
  const attributes = { exclusive: { int: maker.random.below(2) }, reverse: { int: maker.random.below(2) } };
  const most = extent(x) * Math.max(...x.dims);
  maker.node('CumSum', [x, axis], attributes, { dims: x.dims, low: -most, high: most });
}

function topK(maker: Maker): void {
  const x = maker.float(1);
  const axis = maker.axis(x.dims.length);
  const at = plain(axis, x.dims.length);
  const k = maker.between(1, x.dims[at] as number);
  const dims = x.dims.with(at, k);
  const attributes = { axis: { int: axis }, largest: { int: maker.random.below(2) } };
  const values = { dims, low: x.low, high: x.high };
  maker.node('TopK', [x, maker.integers([k])], attributes, values, { dims, type: 'int64', low: 0, high: 1e4 });
}

/** Per channel (axis 1) or per element of the last axes. */
function vector(maker: Maker, dims: readonly number[], low = -2, high = 2): GraphValue {
  return maker.fresh('float32', dims, low, high, maker.chance(0.8));
}

function layerNormalization(maker: Maker): void {
  if (maker.opset < 17) return;
  const x = maker.float(1);
  const axis = maker.axis(x.dims.length);
  const inner = x.dims.slice(plain(axis, x.dims.length));
  const bias = maker.chance(0.5) ? [vector(maker, inner)] : [];
  const attributes = { axis: { int: axis }, epsilon: { float: 0.01 } };
  maker.node('LayerNormalization', [x, vector(maker, inner), ...bias], attributes, {
    dims: x.dims,
    low: -200,
    high: 200,
  });
}

function batchNormalization(maker: Maker): void {
  const x = maker.float(2);
  const channels = [x.dims[1] as number];
  const [scale, bias, mean] = [vector(maker, channels), vector(maker, channels), vector(maker, channels)];
  const variance = vector(maker, channels, 0.2, 3);
  const most = (extent(x) + 2) * 5 + 2;
  maker.node(
    'BatchNormalization',
    [x, scale, bias, mean, variance],
    { epsilon: { float: 0.001 } },
    { dims: x.dims, low: -most, high: most },
  );
}

function instanceNormalization(maker: Maker): void {
  const x = maker.float(3, 4);
  // A single element is its own mean: what remains is rounding.
  if (elementCount(x.dims.slice(2)) === 1) return;
  const channels = [x.dims[1] as number];
  const inputs = [x, vector(maker, channels), vector(maker, channels)];
  maker.node('InstanceNormalization', inputs, { epsilon: { float: 0.01 } }, { dims: x.dims, low: -200, high: 200 });
}

function groupNormalization(maker: Maker): void {
  if (maker.opset < 21) return;
  const groups = maker.between(1, 3);
  const channels = groups * maker.between(1, 3);
  const [height, width] = [maker.size(), maker.between(1, 7)];
  const x = maker.fresh('float32', [maker.between(1, 2), channels, height, width], -2, 2, false);
  const inputs = [x, vector(maker, [channels]), vector(maker, [channels])];
  const attributes = { num_groups: { int: groups }, epsilon: { float: 0.01 } };
  maker.node('GroupNormalization', inputs, attributes, { dims: x.dims, low: -200, high: 200 });
}

function lpNormalization(maker: Maker): void {
  const x = maker.floatWithin(0.1, 100, 1);
  const attributes = { axis: { int: maker.axis(x.dims.length) }, p: { int: maker.between(1, 2) } };
  maker.node('LpNormalization', [x], attributes, { dims: x.dims, low: -1, high: 1 });
}

function meanVariance(maker: Maker): void {
  const x = maker.fresh('float32', [
    maker.between(1, 3),
    maker.between(1, 5),
    maker.between(2, 9),
    maker.between(2, 9),
  ]);
  maker.node('MeanVarianceNormalization', [x], {}, { dims: x.dims, low: -100, high: 100 });
}

export const reducing: Recipes = {
  ...reduce('ReduceSum', (x, n) => [-extent(x) * n, extent(x) * n], numbers, 13),
  ...reduce('ReduceMean', span, any),
  ...reduce('ReduceMax', span, numbers),
  ...reduce('ReduceMin', span, numbers),
  ...reduce(
    'ReduceProd',
    (_, n) => [-(1.2 ** n), 1.2 ** n],
    (maker) => maker.floatWithin(-1.2, 1.2, 1),
  ),
  ...reduce('ReduceL1', (x, n) => [0, extent(x) * n], any),
  ...reduce('ReduceL2', (x, n) => [0, extent(x) * Math.sqrt(n)], any),
  ...reduce('ReduceSumSquare', (x, n) => [0, extent(x) ** 2 * n], any),
  ...reduce(
    'ReduceLogSum',
    (x, n) => [-3, Math.log(x.high * n) + 1],
    (maker) => maker.floatWithin(0.1, 100, 1),
  ),
  ...reduce(
    'ReduceLogSumExp',
    (x, n) => [x.low, x.high + Math.log(n)],
    (maker) => maker.floatWithin(-50, 50, 1),
  ),
  ...argExtreme('ArgMax'),
  ...argExtreme('ArgMin'),
  ...alongAxis('Softmax', [0, 1]),
  ...alongAxis('LogSoftmax', [-3e4, 0]),
  ...alongAxis('Hardmax', [0, 1]),
  CumSum: cumSum,
  TopK: topK,
  LayerNormalization: layerNormalization,
  BatchNormalization: batchNormalization,
  InstanceNormalization: instanceNormalization,
  GroupNormalization: groupNormalization,
  LpNormalization: lpNormalization,
  MeanVarianceNormalization: meanVariance,
};
