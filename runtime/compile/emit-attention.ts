/**
 * Attention on the instructions of matrix products and softmax, a block of queries at a time: the scores of a block stay in
 * the cache and are forgotten, and cores may each take another head. Idea: Rabe and Staats, "Self-attention Does Not Need O(n²) Memory", 2021.
 */
import { elementCount } from '../engine/tensor.ts';
import type { Assembler } from './assembler.ts';
import { type Emitter, inputOf, type OperationOf, outputOf, requireFloat32 } from './emission.ts';
import type { Node, Value } from './graph.ts';
import type { Address } from './instructions.ts';
import { MATRICES_MAX } from './limits.ts';
import { roundUp } from './pack.ts';
import { UnsupportedError } from './program.ts';
import { broadcastStrides } from './strides.ts';

/** Scores of a block of queries, half of a small second-level cache. */
const SCORE_BYTES = 131_072;
/** Rows that the matrix kernel computes together. */
const TILE_ROWS = 6;

interface Sizes {
  readonly batch: readonly number[];
  readonly m: number;
  readonly n: number;
  readonly d: number;
  readonly e: number;
  /** Queries in a block. */
  readonly rows: number;
}

function sizesOf(node: Node, { transposeK }: OperationOf<'attention'>): Sizes {
  const [q, k, y] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
  const [m = 0, d = 0] = q.dims.slice(-2);
  const n = k.dims.at(transposeK ? -2 : -1) as number;
  const fitting = Math.floor(SCORE_BYTES / 4 / Math.max(1, n) / TILE_ROWS) * TILE_ROWS;
  const rows = Math.min(Math.max(TILE_ROWS, fitting), roundUp(m, TILE_ROWS));
  return { batch: y.dims.slice(0, -2), m, n, d, e: y.dims.at(-1) as number, rows };
}

interface Scratch {
  readonly keys: Address;
  readonly values: Address;
  readonly scores: Address;
  readonly end: Address;
}

function layScratch(base: Address, { n, d, e, rows }: Sizes, assembler: Assembler): Scratch {
  const values = base + roundUp(assembler.packedBytes(d, n), 64);
  const scores = values + roundUp(assembler.packedBytes(n, e), 64);
  return { keys: base, values, scores, end: scores + rows * n * 4 };
}

/** For each matrix of the batch the element at which its part of an operand begins. */
function offsetsOf(value: Value, batch: readonly number[]): number[] {
  const strides = broadcastStrides(value.dims, [...batch, ...value.dims.slice(-2)]);
  return Array.from({ length: elementCount(batch) }, (_, index) => {
    let [rest, offset] = [index, 0];
    for (let axis = batch.length - 1; axis >= 0; axis--) {
      const size = batch[axis] as number;
      offset += (rest % size) * (strides[axis] as number);
      rest = Math.floor(rest / size);
    }
    return offset;
  });
}

/** The mask as the matrix kernel adds it: row stride 0 where all queries share one row. */
function maskOf(mask: Value | undefined, { batch, m, n }: Sizes) {
  if (!mask) return undefined;
  const dims = mask.dims.length < 2 ? [1, ...mask.dims] : mask.dims;
  const [rowStride = 0] = broadcastStrides(dims, [...batch, m, n]).slice(-2);
  return { rowStride, offsets: offsetsOf({ ...mask, dims }, batch) };
}

export const attention: Emitter<OperationOf<'attention'>> = {
  scratchBytes: (node, operation, assembler) => layScratch(0, sizesOf(node, operation), assembler).end,
  emit({ assembler, node, operation, scratch: base, at }) {
    const [q, k, v, y] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2), outputOf(node)];
    const mask = node.inputs[3];
    requireFloat32(node, q, k, v, mask);
    const sizes = sizesOf(node, operation);
    const { batch, m, n, d, e, rows } = sizes;
    const count = elementCount(batch);
    if (count * Math.ceil(m / rows) > MATRICES_MAX)
      throw new UnsupportedError(`node "${node.origin}": attention in ${count} batches is not supported`);
    const masked = maskOf(mask, sizes);
    const [qs, ks, vs] = [q, k, v].map((each) => offsetsOf(each, batch)) as [number[], number[], number[]];
    assembler.inChunks(count, base, (index, own) => {
      const { keys, values, scores } = layScratch(own, sizes, assembler);
      assembler.packMatrix(at(k) + (ks[index] as number) * 4, keys, d, n, operation.transposeK);
      assembler.packMatrix(at(v) + (vs[index] as number) * 4, values, n, e, false);
      for (let begin = 0; begin < m; begin += rows) {
        const block = Math.min(rows, m - begin);
        const residual =
          masked && at(mask as Value) + ((masked.offsets[index] as number) + begin * masked.rowStride) * 4;
        const a = at(q) + ((qs[index] as number) + begin * d) * 4;
        const product = { a, lda: d, packedB: keys, c: scores, ldc: n, m: block, n, k: d };
        assembler.gemm({ ...product, residual, ldr: masked?.rowStride });
        assembler.softmax(scores, scores, block, n, 1);
        const c = at(y) + (index * m + begin) * e * 4;
        assembler.gemm({ a: scores, lda: n, packedB: values, c, ldc: e, m: block, n: e, k: n });
      }
    });
  },
};
