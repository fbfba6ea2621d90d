/** Recipes: products, convolutions, pools, sampling, recurrence. */
import { elementCount } from '../../../runtime/engine/tensor.ts';
import type { Attributes, GraphValue } from './graph.ts';
import { broadcast, type Maker, type Recipes } from './maker.ts';

function extent({ low, high }: GraphValue): number {
  return Math.max(Math.abs(low), Math.abs(high));
}

function around(most: number) {
  return { low: -most, high: most };
}

function matMul(maker: Maker): void {
  const a = maker.float(1, 4);
  const k = a.dims.at(-1) as number;
  const n = maker.size();
  const batch = a.dims.slice(0, -2);
  const outer = maker.chance(0.5) ? [] : batch.map((size) => (maker.chance(0.4) ? 1 : size));
  const isVector = maker.chance(0.1);
  const b = maker.fresh('float32', isVector ? [k] : [...outer, k, n]);
  const rows = a.dims.length > 1 ? [a.dims.at(-2) as number] : [];
  const dims = [...(isVector ? batch : broadcast(batch, outer)), ...rows, ...(isVector ? [] : [n])];
  maker.node('MatMul', [a, b], {}, { dims, ...around(extent(a) * 2 * k) });
}

/** Two values of the graph, as attention multiplies them. */
function product(maker: Maker): void {
  const a = maker.float(2, 4);
  const perm = a.dims.map((_, axis) => axis);
  perm.push(...perm.splice(-2).reverse());
  const dims = perm.map((axis) => a.dims[axis] as number);
  const b = maker.node('Transpose', [a], { perm: { ints: perm } }, { dims, ...around(extent(a)) });
  const [m, k] = a.dims.slice(-2) as [number, number];
  maker.node('MatMul', [a, b], {}, { dims: [...a.dims.slice(0, -1), m], ...around(extent(a) ** 2 * k) });
}

function gemm(maker: Maker): void {
  const a = maker.float(2, 2);
  const transA = maker.chance(0.3);
  const transB = maker.chance(0.5);
  const [m, k] = transA ? a.dims.toReversed() : a.dims;
  const n = maker.size();
  const b = maker.fresh('float32', transB ? [n, k as number] : [k as number, n]);
  const c = maker.random.pick([undefined, [n], [1, n], [m as number, 1], [m as number, n], []]);
  const inputs = c ? [a, b, maker.fresh('float32', c)] : [a, b];
  const attributes: Record<string, Attributes[string]> = {
    transA: { int: Number(transA) },
    transB: { int: Number(transB) },
  };
  if (maker.chance(0.3)) attributes.alpha = { float: 0.5 };
  if (maker.chance(0.3)) attributes.beta = { float: 1.5 };
  maker.node('Gemm', inputs, attributes, { dims: [m as number, n], ...around(extent(a) * 2 * (k as number) + 3) });
}

interface Windows {
  readonly attributes: Record<string, Attributes[string]>;
  /** Of the result, one for each axis of the picture. */
  readonly sizes: readonly number[];
}

/** Kernel, strides, dilations and pads that leave at least one position. */
function windows(maker: Maker, spatial: readonly number[], kernel: readonly number[], padMost: number): Windows {
  const attributes: Record<string, Attributes[string]> = { kernel_shape: { ints: kernel } };
  const strides = kernel.map(() => maker.random.pick([1, 1, 2, 3]));
  const dilations = kernel.map((size, axis) =>
    maker.chance(0.25) && (size - 1) * 2 < (spatial[axis] as number) ? 2 : 1,
  );
  const reach = kernel.map((size, axis) => (size - 1) * (dilations[axis] as number) + 1);
  if (strides.some((stride) => stride > 1) || maker.chance(0.5)) attributes.strides = { ints: strides };
  if (dilations.some((dilation) => dilation > 1)) attributes.dilations = { ints: dilations };
  const auto = maker.random.below(10);
  // With a stride above the kernel the standard's formula gives pads below 0, which every engine reads in its own way.
  const covers = kernel.every((size, axis) => size >= (strides[axis] as number));
  if (auto < 2 && covers && dilations.every((dilation) => dilation === 1)) {
    attributes.auto_pad = { text: auto === 0 ? 'SAME_UPPER' : 'SAME_LOWER' };
    return { attributes, sizes: spatial.map((size, axis) => Math.ceil(size / (strides[axis] as number))) };
  }
  const pads = [...kernel, ...kernel].map((size) => maker.between(0, Math.min(padMost, size - 1)));
  const padded = spatial.map((size, axis) => {
    const missing = (reach[axis] as number) - size - (pads[axis] as number) - (pads[axis + kernel.length] as number);
    if (missing > 0) pads[axis] = (pads[axis] as number) + missing;
    return size + (pads[axis] as number) + (pads[axis + kernel.length] as number);
  });
  if (pads.some(Boolean) || maker.chance(0.3)) attributes.pads = { ints: pads };
  const sizes = padded.map(
    (size, axis) => Math.floor((size - (reach[axis] as number)) / (strides[axis] as number)) + 1,
  );
  return { attributes, sizes };
}

/** A picture [N, C, …] of one or two axes; channels that suit a group. */
function picture(maker: Maker, channels?: number): GraphValue {
  return maker.pick(
    ({ type, dims, low, high }) =>
      type === 'float32' &&
      (dims.length === 3 || dims.length === 4) &&
      low > -1e3 &&
      high < 1e3 &&
      !dims.includes(0) &&
      (channels === undefined || dims[1] === channels),
    () => {
      const spatial = maker.chance(0.25) ? [maker.size()] : [maker.size(), maker.size()];
      const dims = [maker.between(1, 2), channels ?? maker.random.pick([1, 2, 3, 4, 7, 8, 12, 16]), ...spatial];
      while (elementCount(dims) > 5000) dims[dims.length - 1] = Math.ceil((dims.at(-1) as number) / 2);
      return maker.fresh('float32', dims, -2, 2, false);
    },
  );
}

function conv(maker: Maker): void {
  const x = picture(maker);
  const [batch = 1, channels = 1, ...spatial] = x.dims;
  const groups = [1, 1, channels, ...[2, 3, 4].filter((group) => channels % group === 0)];
  const group = maker.random.pick(groups);
  const kernel = maker.chance(0.3) ? spatial.map(() => 1) : spatial.map(() => maker.random.pick([1, 2, 3, 3, 5]));
  const outputs = group * maker.random.pick([1, 1, 2, 3, 5, 8]);
  const { attributes, sizes } = windows(maker, spatial, kernel, 3);
  if (outputs * elementCount(sizes) > 12_000) return;
  const w = maker.fresh('float32', [outputs, channels / group, ...kernel], -1, 1, maker.chance(0.9));
  const inputs = maker.chance(0.6) ? [x, w, maker.fresh('float32', [outputs])] : [x, w];
  if (group > 1 || maker.chance(0.3)) attributes.group = { int: group };
  const most = extent(x) * elementCount(w.dims.slice(1)) + 2;
  maker.node('Conv', inputs, attributes, { dims: [batch, outputs, ...sizes], ...around(most) });
}

/** As networks have it: the passes join what follows. */
function convAndActivation(maker: Maker): void {
  conv(maker);
  const last = maker.nodes.at(-1)?.outputs[0];
  if (!last || maker.nodes.at(-1)?.operator !== 'Conv') return;
  const operator = maker.random.pick([
    'Relu',
    'Sigmoid',
    'LeakyRelu',
    'HardSwish',
    'Tanh',
    'Clip',
    'Mul',
    'Add',
    'BatchNormalization',
  ]);
  const most = Math.max(extent(last), 1);
  const output = { dims: last.dims, ...around(most) };
  const channels = [last.dims[1] as number];
  const vector = () => maker.fresh('float32', channels, 0.3, 2, true);
  if (operator === 'Clip')
    maker.node(
      operator,
      [last, maker.constant('float32', [], [0]), maker.constant('float32', [], [6])],
      {},
      { ...output, low: 0, high: 6 },
    );
  else if (operator === 'Mul') {
    const gate = maker.node('Sigmoid', [last], {}, { dims: last.dims, low: 0, high: 1 });
    maker.node(operator, [last, gate], {}, output);
  } else if (operator === 'Add')
    maker.node(operator, [last, maker.fresh('float32', last.dims)], {}, { dims: last.dims, ...around(most + 2) });
  else if (operator === 'BatchNormalization')
    maker.node(
      operator,
      [last, vector(), vector(), vector(), vector()],
      {},
      { dims: last.dims, ...around(most * 5 + 10) },
    );
  else maker.node(operator, [last], {}, output);
}

function convTranspose(maker: Maker): void {
  const x = picture(maker);
  const [batch = 1, channels = 1, ...spatial] = x.dims;
  const group = maker.random.pick([1, 1, channels]);
  const outputs = maker.between(1, 4);
  const kernel = spatial.map(() => maker.between(1, 4));
  const strides = spatial.map(() => maker.between(1, 3));
  const pads = [...kernel, ...kernel].map((size) => maker.between(0, Math.floor((size - 1) / 2)));
  const more = strides.map((stride) => (maker.chance(0.3) ? maker.between(0, stride - 1) : 0));
  const sizes = spatial.map(
    (size, axis) =>
      (size - 1) * (strides[axis] as number) +
      (kernel[axis] as number) +
      (more[axis] as number) -
      (pads[axis] as number) -
      (pads[axis + spatial.length] as number),
  );
  if (outputs * group * elementCount(sizes) > 12_000 || sizes.some((size) => size < 1)) return;
  const w = maker.fresh('float32', [channels, outputs, ...kernel], -1, 1, maker.chance(0.9));
  const inputs = maker.chance(0.5) ? [x, w, maker.fresh('float32', [outputs * group])] : [x, w];
  const attributes = {
    kernel_shape: { ints: kernel },
    strides: { ints: strides },
    pads: { ints: pads },
    output_padding: { ints: more },
    group: { int: group },
  };
  const most = extent(x) * channels * elementCount(kernel) + 2;
  maker.node('ConvTranspose', inputs, attributes, { dims: [batch, outputs * group, ...sizes], ...around(most) });
}

function pool(operator: 'MaxPool' | 'AveragePool'): Recipes {
  return {
    [operator]: (maker) => {
      const x = picture(maker);
      const [batch = 1, channels = 1, ...spatial] = x.dims;
      const kernel = spatial.map((size) => Math.min(size, maker.between(1, 4)));
      const { attributes, sizes } = windows(maker, spatial, kernel, 1);
      // Dilated averages came with opset 19.
      if (operator === 'AveragePool' && 'dilations' in attributes && maker.opset < 19) return;
      if (operator === 'AveragePool' && maker.chance(0.5)) attributes.count_include_pad = { int: 1 };
      const most = extent(x);
      maker.node(operator, [x], attributes, { dims: [batch, channels, ...sizes], ...around(most) });
    },
  };
}

function globalPool(operator: string): Recipes {
  return {
    [operator]: (maker) => {
      const x = picture(maker);
      maker.node(
        operator,
        [x],
        {},
        { dims: [...x.dims.slice(0, 2), ...x.dims.slice(2).map(() => 1)], low: x.low, high: x.high },
      );
    },
  };
}

function resize(maker: Maker): void {
  const x = maker.fresh('float32', [1, maker.between(1, 4), maker.between(1, 9), maker.between(1, 13)], -2, 2, false);
  const mode = maker.random.pick(['nearest', 'nearest', 'linear', 'linear', 'cubic']);
  const ways = ['half_pixel', 'asymmetric', 'align_corners', 'pytorch_half_pixel'];
  const attributes: Record<string, Attributes[string]> = {
    mode: { text: mode },
    coordinate_transformation_mode: { text: maker.random.pick(ways) },
  };
  if (mode === 'nearest')
    attributes.nearest_mode = { text: maker.random.pick(['round_prefer_floor', 'round_prefer_ceil', 'floor', 'ceil']) };
  const none = maker.constant('float32', [0], []);
  const spatial = x.dims.slice(2);
  if (maker.chance(0.5)) {
    // Powers of two, so that positions have no rounding of their own.
    const scales = spatial.map(() => maker.random.pick([0.5, 1, 2, 3, 4]));
    const sizes = spatial.map((size, axis) => Math.floor(size * (scales[axis] as number)));
    // Where a length is rounded down, the standard's reference lays corners at the length before it, onnxruntime at the one after.
    const isRounded = sizes.some((size, axis) => size !== (spatial[axis] as number) * (scales[axis] as number));
    if (sizes.includes(0) || isRounded) return;
    const inputs = [x, none, maker.constant('float32', [4], [1, 1, ...scales])];
    maker.node('Resize', inputs, attributes, { dims: [...x.dims.slice(0, 2), ...sizes], ...around(6) });
    return;
  }
  // Between pixels, the last digit of a quotient decides which is the nearest.
  const sizes = spatial.map((size) => (mode === 'nearest' ? size * maker.between(1, 3) : maker.between(1, 17)));
  const dims = [...x.dims.slice(0, 2), ...sizes];
  maker.node('Resize', [x, undefined, undefined, maker.integers(dims)], attributes, { dims, ...around(6) });
}

function recurrent(operator: 'LSTM' | 'GRU' | 'RNN'): Recipes {
  const gates = { LSTM: 4, GRU: 3, RNN: 1 }[operator];
  return {
    [operator]: (maker) => {
      const [time, batch, width, hidden] = [
        maker.between(1, 5),
        maker.between(1, 3),
        maker.between(1, 9),
        maker.between(1, 9),
      ];
      const x = maker.fresh('float32', [time, batch, width], -2, 2, false);
      const direction = maker.random.pick(['forward', 'reverse', 'bidirectional']);
      const count = direction === 'bidirectional' ? 2 : 1;
      const weights = (dims: readonly number[]) => maker.fresh('float32', dims, -1, 1, true);
      const inputs: (GraphValue | undefined)[] = [
        x,
        weights([count, gates * hidden, width]),
        weights([count, gates * hidden, hidden]),
      ];
      const state = [count, batch, hidden];
      if (maker.chance(0.7)) {
        inputs.push(maker.chance(0.7) ? weights([count, 2 * gates * hidden]) : undefined, undefined);
        if (maker.chance(0.7)) inputs.push(maker.fresh('float32', state, -1, 1));
        if (inputs.length === 6 && operator === 'LSTM') inputs.push(maker.fresh('float32', state, -1, 1));
      }
      while (inputs.at(-1) === undefined) inputs.pop();
      const attributes: Record<string, Attributes[string]> = {
        hidden_size: { int: hidden },
        direction: { text: direction },
      };
      if (operator === 'GRU' && maker.chance(0.5)) attributes.linear_before_reset = { int: 1 };
      const last = { dims: state, low: -1, high: 1 };
      const all = { dims: [time, count, batch, hidden], low: -1, high: 1 };
      if (operator === 'LSTM') maker.node(operator, inputs, attributes, all, last, { dims: state, low: -9, high: 9 });
      else maker.node(operator, inputs, attributes, all, last);
    },
  };
}

export const computing: Recipes = {
  MatMul: matMul,
  product,
  Gemm: gemm,
  Conv: conv,
  convAndActivation,
  ConvTranspose: convTranspose,
  ...pool('MaxPool'),
  ...pool('AveragePool'),
  ...globalPool('GlobalAveragePool'),
  ...globalPool('GlobalMaxPool'),
  Resize: resize,
  ...recurrent('LSTM'),
  ...recurrent('GRU'),
  ...recurrent('RNN'),
};
