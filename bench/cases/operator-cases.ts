/** The operators of `npm run bench -- operators`, at shapes that real networks have. */
import type { Tensor } from '../../runtime/engine/tensor.ts';
import type { BenchCase } from './model-cases.ts';
import { int64s, jobOf, type OperatorCase, type OperatorNode, random } from './operator-graph.ts';
import { randomValues } from './random-values.ts';

type Attributes = NonNullable<OperatorNode['attributes']>;

/** One operator on `x`, with constants that have no names of interest. */
function single(
  operator: string,
  label: string,
  x: Tensor,
  constants: readonly Tensor[] = [],
  attributes: Attributes = {},
): OperatorCase {
  const named = Object.fromEntries(constants.map((tensor, index) => [`w${index}`, tensor]));
  const node = { operator, attributes, inputs: ['x', ...Object.keys(named)], output: 'y' };
  return { name: `${operator} ${label}`, inputs: { x }, constants: named, nodes: [node] };
}

interface Convolution {
  readonly from: number;
  readonly to: number;
  readonly size: number | readonly [number, number];
  readonly kernel: readonly number[];
  readonly stride?: number;
  readonly group?: number;
  readonly dilation?: number;
}

function conv({ from, to, size, kernel, stride = 1, group = 1, dilation = 1 }: Convolution): OperatorCase {
  const spatial = kernel.length === 1 ? [size as number] : typeof size === 'number' ? [size, size] : size;
  const before = kernel.map((length) => ((length - 1) * dilation) >> 1);
  const label = [
    `${kernel.join('×')} ${from}→${to}, ${spatial.join('×')}`,
    stride > 1 ? `, stride ${stride}` : '',
    group === from ? ', depthwise' : group > 1 ? `, ${group} groups` : '',
    dilation > 1 ? `, dilated ${dilation}` : '',
  ].join('');
  const terms = (from / group) * kernel.reduce((product, length) => product * length, 1);
  return single(
    'Conv',
    label,
    random([1, from, ...spatial]),
    [random([to, from / group, ...kernel], terms), random([to])],
    {
      kernel_shape: kernel,
      strides: kernel.map(() => stride),
      dilations: kernel.map(() => dilation),
      pads: [...before, ...before],
      group,
    },
  );
}

function convTransposed(from: number, to: number, size: number, kernel: number, pad: number): OperatorCase {
  const label = `${kernel}×${kernel} ${from}→${to}, ${size}×${size}, stride 2`;
  const weights = random([from, to, kernel, kernel], from * 4);
  return single('ConvTranspose', label, random([1, from, size, size]), [weights], {
    kernel_shape: [kernel, kernel],
    strides: [2, 2],
    pads: [pad, pad, pad, pad],
  });
}

function matMul(m: number, k: number, n: number): OperatorCase {
  return single('MatMul', `${m}×${k}×${n}`, random([m, k]), [random([k, n], k)]);
}

function pool(
  operator: 'MaxPool' | 'AveragePool',
  channels: number,
  size: number,
  kernel: number,
  stride: number,
): OperatorCase {
  const pad = kernel >> 1;
  const label = `${kernel}×${kernel} ${channels}, ${size}×${size}, stride ${stride}`;
  return single(operator, label, random([1, channels, size, size]), [], {
    kernel_shape: [kernel, kernel],
    strides: [stride, stride],
    pads: [pad, pad, pad, pad],
  });
}

function resize(mode: 'linear' | 'nearest', channels: number, size: number): OperatorCase {
  const scales: Tensor = { type: 'float32', dims: [4], data: Float32Array.of(1, 1, 2, 2) };
  const attributes: Attributes =
    mode === 'linear'
      ? { mode, coordinate_transformation_mode: 'half_pixel' }
      : { mode, coordinate_transformation_mode: 'asymmetric', nearest_mode: 'floor' };
  const node = { operator: 'Resize', attributes, inputs: ['x', '', 'scales'], output: 'y' };
  const name = `Resize ${mode} ×2 ${channels}, ${size}×${size}`;
  return { name, inputs: { x: random([1, channels, size, size]) }, constants: { scales }, nodes: [node] };
}

/** `gates` of LSTM are 4, of GRU 3. */
function recurrent(operator: 'LSTM' | 'GRU', gates: number, steps: number, size: number): OperatorCase {
  const weights = [random([1, gates * size, size], size), random([1, gates * size, size], size)];
  return single(operator, `${steps} steps, ${size} wide`, random([steps, 1, size]), weights, { hidden_size: size });
}

function integers(m: number, k: number, n: number): OperatorCase {
  const a: Tensor = { type: 'uint8', dims: [m, k], data: Uint8Array.from(randomValues(m * k), (v) => (v + 0.5) * 256) };
  const b: Tensor = { type: 'int8', dims: [k, n], data: Int8Array.from(randomValues(k * n), (v) => v * 256) };
  return single('MatMulInteger', `${m}×${k}×${n}`, a, [b]);
}

/** Weights of 4 bits, each 32 of a column with a scale of their own, as language models have them. */
function fourBits(m: number, k: number, n: number): OperatorCase {
  const block = 32;
  const bytes = Uint8Array.from(randomValues((n * k) / 2, n), (value) => (value + 0.5) * 256);
  const weights: Tensor = { type: 'uint8', dims: [n, k / block, block / 2], data: bytes };
  const attributes = { K: k, N: n, bits: 4, block_size: block };
  const constants = [weights, random([(n * k) / block], 64 * k)];
  const each = single('MatMulNBits', `${m}×${k}×${n}, 4 bits`, random([m, k]), constants, attributes);
  return { ...each, nodes: each.nodes.map((node) => ({ ...node, domain: 'com.microsoft' })) };
}

const [ROWS, WIDTH, HEADS] = [128, 768, 12];

/** Self-attention as exporters write it: three projections, scores of each head, their softmax, and a projection back. */
function attention(): OperatorCase {
  const constants: Record<string, Tensor> = {
    scale: { type: 'float32', dims: [], data: Float32Array.of(1 / Math.sqrt(WIDTH / HEADS)) },
    split: int64s(1, ROWS, HEADS, WIDTH / HEADS),
    joined: int64s(1, ROWS, WIDTH),
    wo: random([WIDTH, WIDTH], WIDTH),
    bo: random([WIDTH]),
  };
  const nodes: OperatorNode[] = [];
  const node = (operator: string, inputs: readonly string[], output: string, attributes: Attributes = {}): void => {
    nodes.push({ operator, inputs, output, attributes });
  };
  for (const each of ['q', 'k', 'v']) {
    constants[`w${each}`] = random([WIDTH, WIDTH], WIDTH);
    constants[`b${each}`] = random([WIDTH]);
    node('MatMul', ['x', `w${each}`], `${each}0`);
    node('Add', [`${each}0`, `b${each}`], `${each}1`);
    node('Reshape', [`${each}1`, 'split'], `${each}2`);
    node('Transpose', [`${each}2`], each, { perm: each === 'k' ? [0, 2, 3, 1] : [0, 2, 1, 3] });
  }
  node('MatMul', ['q', 'k'], 'products');
  node('Mul', ['products', 'scale'], 'scores');
  node('Softmax', ['scores'], 'shares', { axis: -1 });
  node('MatMul', ['shares', 'v'], 'heads');
  node('Transpose', ['heads'], 'turned', { perm: [0, 2, 1, 3] });
  node('Reshape', ['turned', 'joined'], 'rows');
  node('MatMul', ['rows', 'wo'], 'projected');
  node('Add', ['projected', 'bo'], 'y');
  return {
    name: `attention ${ROWS}×${WIDTH}, ${HEADS} heads`,
    inputs: { x: random([1, ROWS, WIDTH]) },
    constants,
    nodes,
  };
}

function layerNorm(rows: number): OperatorCase {
  const ends = [random([WIDTH]), random([WIDTH])];
  return single('LayerNormalization', `${rows}×${WIDTH}`, random([rows, WIDTH]), ends, { axis: -1, epsilon: 1e-5 });
}

function gelu(rows: number, columns: number): OperatorCase {
  return { ...single('Gelu', `${rows}×${columns}`, random([rows, columns], 1 / 16)), opset: 20 };
}

function batchedProduct(): OperatorCase {
  const inputs = { x: random([HEADS, ROWS, 64]), z: random([HEADS, 64, ROWS]) };
  const node = { operator: 'MatMul', inputs: ['x', 'z'], output: 'y' };
  return { name: `MatMul ${HEADS} of ${ROWS}×64×${ROWS}`, inputs, constants: {}, nodes: [node] };
}

const map = [1, 144, 56, 56];

/** Made when they are asked for: the constants of all take some 50 MB. */
const makeCases = (): OperatorCase[] => [
  conv({ from: 144, to: 24, size: 56, kernel: [1, 1] }),
  conv({ from: 24, to: 144, size: 56, kernel: [1, 1] }),
  conv({ from: 960, to: 160, size: 7, kernel: [1, 1] }),
  conv({ from: 256, to: 512, size: 14, kernel: [1, 1], stride: 2 }),
  conv({ from: 3, to: 32, size: 224, kernel: [3, 3], stride: 2 }),
  conv({ from: 16, to: 16, size: 160, kernel: [3, 3] }),
  conv({ from: 64, to: 64, size: 56, kernel: [3, 3] }),
  conv({ from: 64, to: 128, size: 56, kernel: [3, 3], stride: 2 }),
  conv({ from: 128, to: 128, size: 28, kernel: [3, 3] }),
  conv({ from: 256, to: 256, size: 14, kernel: [3, 3] }),
  conv({ from: 512, to: 512, size: 7, kernel: [3, 3] }),
  conv({ from: 64, to: 64, size: 40, kernel: [3, 3], dilation: 2 }),
  conv({ from: 48, to: 64, size: 35, kernel: [5, 5] }),
  conv({ from: 24, to: 48, size: 80, kernel: [5, 5], stride: 2 }),
  conv({ from: 3, to: 64, size: 224, kernel: [7, 7], stride: 2 }),
  conv({ from: 128, to: 128, size: 17, kernel: [1, 7] }),
  conv({ from: 64, to: 64, size: 1000, kernel: [9] }),
  conv({ from: 129, to: 128, size: 4, kernel: [3] }),
  conv({ from: 128, to: 128, size: 28, kernel: [3, 3], group: 32 }),
  conv({ from: 144, to: 144, size: 56, kernel: [3, 3], group: 144 }),
  conv({ from: 144, to: 144, size: 56, kernel: [3, 3], group: 144, stride: 2 }),
  conv({ from: 960, to: 960, size: 7, kernel: [3, 3], group: 960 }),
  conv({ from: 96, to: 96, size: 28, kernel: [5, 5], group: 96 }),
  conv({ from: 96, to: 96, size: 56, kernel: [5, 5], group: 96, stride: 2 }),
  conv({ from: 96, to: 96, size: 28, kernel: [7, 7], group: 96 }),
  convTransposed(64, 32, 80, 2, 0),
  convTransposed(128, 64, 20, 4, 1),
  matMul(480, 512, 512),
  matMul(ROWS, WIDTH, WIDTH),
  matMul(ROWS, WIDTH, 4 * WIDTH),
  matMul(1, 1280, 1000),
  matMul(1, 512, 512),
  matMul(1024, 256, 3),
  matMul(7, 13, 31),
  batchedProduct(),
  integers(480, 512, 512),
  fourBits(1, WIDTH, 4 * WIDTH),
  fourBits(ROWS, WIDTH, WIDTH),
  single('Gemm', '64×640×128', random([64, 640]), [random([640, 128], 640), random([128])]),
  attention(),
  layerNorm(ROWS),
  gelu(ROWS, WIDTH),
  gelu(ROWS, 4 * WIDTH),
  single('Softmax', '1536×128', random([1536, 128], 1 / 16), [], { axis: -1 }),
  single('Softmax', '1×1000', random([1, 1000], 1 / 16), [], { axis: -1 }),
  single('Relu', map.join('×'), random(map)),
  single('Sigmoid', map.join('×'), random(map, 1 / 16)),
  single('Tanh', map.join('×'), random(map, 1 / 16)),
  single('Exp', map.join('×'), random(map)),
  single('Add', `${map.join('×')} and as many`, random(map), [random(map)]),
  single('Mul', `${map.join('×')} and one a channel`, random(map), [random([1, 144, 1, 1])]),
  pool('MaxPool', 64, 112, 3, 2),
  pool('MaxPool', 128, 20, 5, 1),
  pool('AveragePool', 192, 35, 3, 1),
  single('GlobalAveragePool', '1280, 7×7', random([1, 1280, 7, 7])),
  resize('linear', 64, 40),
  resize('nearest', 64, 40),
  single('Transpose', 'NCHW to NHWC 144, 56×56', random(map), [], { perm: [0, 2, 3, 1] }),
  single('Transpose', '128×12×64, heads first', random([128, 12, 64]), [], { perm: [1, 0, 2] }),
  recurrent('LSTM', 4, 50, 128),
  recurrent('LSTM', 4, 1, 128),
  recurrent('GRU', 3, 50, 128),
];

/** The parts of a transformer's block. */
export function isTransformerCase(name: string): boolean {
  return new RegExp(`^(attention|LayerNormalization|Gelu) ${ROWS}×${WIDTH}(,|$)`).test(name);
}

export function operatorCases(): BenchCase[] {
  return makeCases().map((each) => ({ name: each.name, quantized: false, job: async () => jobOf(each) }));
}
