/** MatMulNBits: weights of 4 or 8 bits, each block of a column with a scale of its own. Source: onnxruntime, docs/ContribOperators.md. */
import { numbersOf } from '../../compile/evaluate.ts';
import type { Value } from '../../compile/graph.ts';
import { isHalf } from '../../compile/half.ts';
import { NARROW_MAX } from '../../compile/pack.ts';
import { BLOCK_COLUMNS, packBlocks } from '../../compile/pack-blocks.ts';
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

interface Weights {
  readonly weights: Tensor;
  readonly scales: Tensor;
  readonly zeros: Tensor | undefined;
  /** The block whose scale and zero point row i of the weights goes by, where it is not the one that it lies in. */
  readonly groups: readonly number[] | undefined;
}

/** [n, k] as float32. */
function dequantised({ n, k, bits, block }: Layout, { weights, scales, zeros, groups }: Weights): Float32Array {
  const blocks = Math.ceil(k / block);
  const rowBytes = (blocks * block * bits) / 8;
  const packed = weights.data as Uint8Array;
  const scaleOf = numbersOf(scales);
  const zero = zeroPoints({ n, k, bits, block }, zeros) ?? (() => 2 ** (bits - 1));
  const y = new Float32Array(n * k);
  for (let row = 0; row < n; row++) {
    for (let i = 0; i < k; i++) {
      const part = groups ? (groups[i] as number) : Math.floor(i / block);
      const number = numberAt(packed, row, i, rowBytes, bits) - zero(row, part);
      y[row * k + i] = number * (scaleOf[row * blocks + part] as number);
    }
  }
  return y;
}

/** Input 4, a block for each of the k rows of the weights. */
function groupsOf(node: OperatorContext, k: number, blocks: number): readonly number[] | undefined {
  const groups = node.optionalIntegers(4);
  if (groups && (groups.length < k || groups.some((group) => group < 0 || group >= blocks)))
    throw new Error(`input 4: expected ${k} numbers of blocks below ${blocks}`);
  return groups;
}

/** The zero point of a block of a row; undefined where it is the middle of the range everywhere. */
function zeroPoints({ k, bits, block }: Layout, zeros: Tensor | undefined) {
  if (!zeros) return undefined;
  const blocks = Math.ceil(k / block);
  if (zeros.type !== 'uint8') {
    const numbers = numbersOf(zeros);
    return (row: number, part: number): number => numbers[row * blocks + part] as number;
  }
  const rowBytes = Math.ceil((blocks * bits) / 8);
  return (row: number, part: number): number => numberAt(zeros.data as Uint8Array, row, part, rowBytes, bits);
}

/** x times weights of 4 bits that stay so in memory. */
function matMulBlocks(node: OperatorContext, layout: Layout, { weights, scales, zeros }: Weights): Value {
  const { n, k, bits, block } = layout;
  const blocks = Math.ceil(k / block);
  const bytes = weights.data as Uint8Array;
  const scaleOf = numbersOf(scales);
  const zero = zeroPoints(layout, zeros);
  const packed = packBlocks(k, n, block, {
    level: (p, j) => numberAt(bytes, j, p, (blocks * block * bits) / 8, bits),
    scale: (part, j) => scaleOf[j * blocks + part] as number,
    zero: zero && ((part, j) => zero(j, part)),
  });
  const { builder } = node;
  const groups = Math.ceil(n / BLOCK_COLUMNS);
  const zeroDims = zero ? [groups, blocks, BLOCK_COLUMNS] : [1, 1, BLOCK_COLUMNS];
  const tables: Tensor[] = [
    { type: 'uint8', dims: [groups, k, BLOCK_COLUMNS / 2], data: packed.levels },
    { type: 'float32', dims: [groups, blocks, BLOCK_COLUMNS], data: packed.scales },
    { type: 'float32', dims: zeroDims, data: packed.zeros },
  ];
  const constants = tables.map((table, index) => builder.constant(table, `blocks ${index} ${builder.origin}`));
  return builder.add({ kind: 'matMulBlocks', n, block }, [node.input(0), ...constants]);
}

/** Numbers of 8 bits, blocks out of order, and a few columns behind the last sixteen are made float32 when the program is made. */
export const matMulNBits: Build = (node) => {
  const { builder } = node;
  const layout = layoutOf(node);
  const { n, k, bits, block } = layout;
  const blocks = Math.ceil(k / block);
  const [weights, scales] = [node.tensor(1), node.tensor(2)];
  const zeros = node.optional(3) ? node.tensor(3) : undefined;
  const groups = groupsOf(node, k, blocks);
  if (weights.type !== 'uint8' || elementCount(weights.dims) !== (n * blocks * block * bits) / 8)
    throw new Error(`expected weights of ${n} x ${blocks} blocks in uint8, got ${weights.type} [${weights.dims}]`);
  if (scales.type !== 'float32' && !isHalf(scales.type)) throw node.unsupported(`scales of ${scales.type}`);
  if (zeros && zeros.type !== 'uint8' && zeros.type !== scales.type)
    throw node.unsupported(`zero points of ${zeros.type}`);
  const zeroCount = zeros && zeros.type !== 'uint8' ? n * blocks : n * Math.ceil((blocks * bits) / 8);
  if (elementCount(scales.dims) !== n * blocks || (zeros && elementCount(zeros.dims) !== zeroCount))
    throw new Error(`expected ${n * blocks} scales and zero points`);
  const x = node.input(0);
  const tables = { weights, scales, zeros, groups };
  const floatTable = (): Value =>
    builder.constant({ type: 'float32', dims: [n, k], data: dequantised(layout, tables) }, `bits ${builder.origin}`);
  // The kernel for a last panel of few columns takes them in another form.
  const isNarrow = (n - 1) % BLOCK_COLUMNS < NARROW_MAX;
  const staysPacked = bits === 4 && !groups && !isNarrow && x.type === 'float32';
  const product = staysPacked ? matMulBlocks(node, layout, tables) : builder.matMul(x, floatTable(), true);
  const bias = node.optional(5);
  return bias ? builder.binary('add', product, bias) : product;
};
