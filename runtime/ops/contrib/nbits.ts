/** MatMulNBits: weights of 4 or 8 bits, each block of a column with a scale of its own. Source: onnxruntime, docs/ContribOperators.md. */
import type { Value } from '../../compile/graph.ts';
import { elementCount, type Tensor } from '../../engine/tensor.ts';
import type { Build, OperatorContext } from '../context.ts';

interface Layout {
  readonly n: number;
  readonly k: number;
  readonly bits: 4 | 8;
  readonly block: number;
}

function layoutOf(node: OperatorContext): Layout {
  const [n, k, bits, block] = ['N', 'K', 'bits', 'block_size'].map((name) =>
    node.int(name, name === 'bits' ? 4 : undefined),
  );
  if (bits !== 4 && bits !== 8) throw node.unsupported(`weights of ${bits} bits`);
  if (!n || !k || !block || n < 1 || k < 1 || block < 16)
    throw new Error(`expected sizes and a block of 16 or more, got ${n}, ${k}, ${block}`);
  return { n, k, bits, block };
}

/** Two 4-bit numbers a byte, the first in the low half. */
function numberAt(bytes: ArrayLike<number>, row: number, index: number, rowBytes: number, bits: 4 | 8): number {
  if (bits === 8) return bytes[row * rowBytes + index] as number;
  const byte = bytes[row * rowBytes + (index >> 1)] as number;
  return index & 1 ? byte >> 4 : byte & 15;
}

/** [n, k] as float32. */
function dequantised(
  { n, k, bits, block }: Layout,
  weights: Tensor,
  scales: Tensor,
  zeros: Tensor | undefined,
): Float32Array {
  const blocks = Math.ceil(k / block);
  const rowBytes = (blocks * block * bits) / 8;
  const zeroBytes = Math.ceil((blocks * bits) / 8);
  const packed = weights.data as Uint8Array;
  const middle = 2 ** (bits - 1);
  const y = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    for (let part = 0; part < blocks; part++) {
      const scale = Number(scales.data[row * blocks + part]);
      const zero = !zeros
        ? middle
        : zeros.type === 'float32'
          ? Number(zeros.data[row * blocks + part])
          : numberAt(zeros.data as Uint8Array, row, part, zeroBytes, bits);
      for (let i = part * block; i < Math.min((part + 1) * block, k); i++)
        y[row * k + i] = (numberAt(packed, row, i, rowBytes, bits) - zero) * scale;
    }
  }
  return y;
}

/** Weights are made float32 when the program is made: four or eight times the memory, for the speed of the float kernels. */
export const matMulNBits: Build = (node) => {
  const { builder } = node;
  const layout = layoutOf(node);
  const { n, k, bits, block } = layout;
  const blocks = Math.ceil(k / block);
  const [weights, scales] = [node.tensor(1), node.tensor(2)];
  const zeros = node.optional(3) ? node.tensor(3) : undefined;
  if (node.optional(4)) throw node.unsupported('an order of groups (g_idx)');
  if (weights.type !== 'uint8' || elementCount(weights.dims) !== (n * blocks * block * bits) / 8)
    throw new Error(`expected weights of ${n} x ${blocks} blocks in uint8, got ${weights.type} [${weights.dims}]`);
  if (scales.type !== 'float32') throw node.unsupported(`scales of ${scales.type}`);
  const zeroCount = zeros?.type === 'float32' ? n * blocks : n * Math.ceil((blocks * bits) / 8);
  if (elementCount(scales.dims) !== n * blocks || (zeros && elementCount(zeros.dims) !== zeroCount))
    throw new Error(`expected ${n * blocks} scales and zero points`);
  const data = dequantised(layout, weights, scales, zeros);
  const table: Value = builder.constant({ type: 'float32', dims: [n, k], data }, `bits ${builder.origin}`);
  const product = builder.matMul(node.input(0), table, true);
  const bias = node.optional(5);
  return bias ? builder.binary('add', product, bias) : product;
};
