/** Single operators of ONNX as TensorFlow.js computes them, in its own layout (channels last) with its own constants. */
import type { Tensor } from '../../runtime/engine/tensor.ts';
import { toChannelsFirst, toChannelsLast } from './channels.ts';
import type { TensorflowNode, Tensors } from './contender.ts';
import type { Tensorflow, TensorflowFunction, TfTensor } from './tensorflow.ts';

type Attributes = TensorflowNode['attributes'];
/** An operator on pictures or on rows: the latter keep their layout. */
type Make = (
  tf: Tensorflow,
  attributes: Attributes,
  constants: readonly Tensor[],
) => { readonly pictures: boolean; readonly compute: TensorflowFunction['compute'] };

const list = (attributes: Attributes, name: string): readonly number[] => (attributes[name] as number[]) ?? [];

/** ONNX's pads as the library takes them; [top, left, bottom, right] → one pair for each of its dimensions. */
function padding(attributes: Attributes): [number, number][] {
  const [top = 0, left = 0, bottom = 0, right = 0] = list(attributes, 'pads');
  return [
    [0, 0],
    [top, bottom],
    [left, right],
    [0, 0],
  ];
}

/** A constant kept by the library for the whole life of the case. */
function kept(tf: Tensorflow, values: Float32Array, dims: readonly number[]): TfTensor {
  return tf.keep(tf.tensor(values, dims));
}

/** Weights [o, i, h, w] → [h, w, i, o]. */
function filterOf(tf: Tensorflow, { data, dims }: Tensor): TfTensor {
  const filter: TfTensor = tf.tidy(() => tf.keep(tf.transpose(tf.tensor(data, dims), [2, 3, 1, 0])));
  return filter;
}

const conv: Make = (tf, attributes, [weights, bias]) => {
  const { dims } = weights as Tensor;
  if (dims.length !== 4) throw new Error('convolutions in one dimension are calls of their own in TensorFlow.js');
  const group = (attributes.group as number) ?? 1;
  const [strides, pads, dilations] = [list(attributes, 'strides'), padding(attributes), list(attributes, 'dilations')];
  const added = bias ? kept(tf, bias.data as Float32Array, bias.dims) : undefined;
  if (group === 1) {
    const filter = filterOf(tf, weights as Tensor);
    return {
      pictures: true,
      compute: ([x]) =>
        tf.fused.conv2d({ x, filter, strides, pad: pads, dilations, bias: added, activation: 'linear' }),
    };
  }
  if (dims[1] !== 1 || dims[0] !== group) throw new Error('grouped convolutions are unknown to TensorFlow.js');
  // [c, 1, h, w] → [h, w, c, 1]
  const filter = tf.tidy(() => tf.keep(tf.transpose(tf.tensor(weights?.data, dims), [2, 3, 0, 1])));
  return {
    pictures: true,
    compute: ([x]) => tf.fused.depthwiseConv2d({ x, filter, strides, pad: pads, bias: added, activation: 'linear' }),
  };
};

const pool =
  (name: 'maxPool' | 'avgPool'): Make =>
  (tf, attributes) => ({
    pictures: true,
    compute: ([x]) => tf[name](x, list(attributes, 'kernel_shape'), list(attributes, 'strides'), padding(attributes)),
  });

const elementwise =
  (name: string): Make =>
  (tf, _, constants) => {
    const others = constants.map(({ data, dims }) => kept(tf, data as Float32Array, dims));
    return { pictures: false, compute: ([x]) => tf[name](x, ...others) };
  };

/** Both matrices may come with the run. */
const matMul: Make = (tf, _, [matrix, bias]) => {
  const b = matrix ? kept(tf, matrix.data as Float32Array, matrix.dims) : undefined;
  const added = bias ? kept(tf, bias.data as Float32Array, bias.dims) : undefined;
  return { pictures: false, compute: ([a, other]) => tf.fused.matMul({ a, b: b ?? other, bias: added }) };
};

/** Either without padding, or with as much as makes the result stride times as large, which the library calls "same". */
const convTransposed: Make = (tf, attributes, [weights]) => {
  const [, channels = 1, kernel = 1] = weights?.dims ?? [];
  const [stride = 1] = list(attributes, 'strides');
  const [pad = 0] = list(attributes, 'pads');
  if (pad > 0 && 2 * pad !== kernel - stride) throw new Error('this padding is unknown to TensorFlow.js');
  const filter = filterOf(tf, weights as Tensor);
  const compute: TensorflowFunction['compute'] = ([x]) => {
    const [batch = 1, height = 1, width = 1] = x?.shape ?? [];
    const sizes = [height, width].map((size) => (size - 1) * stride + kernel - 2 * pad);
    return tf.conv2dTranspose(x, filter, [batch, ...sizes, channels], stride, pad > 0 ? 'same' : 'valid');
  };
  return { pictures: true, compute };
};

/** Twice as large, by the two rules that the cases use. */
const resize: Make = (tf, attributes) => ({
  pictures: true,
  compute: ([x]) => {
    const sizes = x?.shape.slice(1, 3).map((size) => size * 2);
    if (attributes.mode === 'linear') return tf.image.resizeBilinear(x, sizes, false, true);
    return tf.image.resizeNearestNeighbor(x, sizes, false, false);
  },
});

const makers: Readonly<Record<string, Make>> = {
  Conv: conv,
  MaxPool: pool('maxPool'),
  AveragePool: pool('avgPool'),
  MatMul: matMul,
  Gemm: matMul,
  Relu: elementwise('relu'),
  Sigmoid: elementwise('sigmoid'),
  Tanh: elementwise('tanh'),
  Exp: elementwise('exp'),
  Add: elementwise('add'),
  Mul: elementwise('mul'),
  Softmax: elementwise('softmax'),
  Transpose: (tf, attributes) => ({
    pictures: false,
    compute: ([x]) => tf.transpose(x, list(attributes, 'perm')),
  }),
  GlobalAveragePool: (tf) => ({ pictures: true, compute: ([x]) => tf.mean(x, [1, 2], true) }),
  ConvTranspose: convTransposed,
  Resize: resize,
};

/** Throws an Error where the library has no such operator. */
export function tensorflowOperator(tf: Tensorflow, node: TensorflowNode, inputs: Tensors): TensorflowFunction {
  const make = makers[node.operator];
  if (!make) throw new Error(`${node.operator} has no counterpart of its own in TensorFlow.js`);
  const constants = node.inputs.filter((input): input is Tensor => typeof input !== 'string');
  const { pictures, compute } = make(tf, node.attributes, constants);
  const values = Object.values(inputs);
  if (!pictures)
    return { inputs: values, compute, toOnnx: (data, dims) => ({ type: 'float32', dims: [...dims], data }) };
  return { inputs: values.map(toChannelsLast), compute, toOnnx: toChannelsFirst };
}
