/** MatMul, Gemm. */
import type { Build } from './context.ts';

/** numpy.matmul: a vector on the left is a row, one on the right a column, and that axis goes again afterwards. */
export const matMul: Build = (node) => {
  const { builder } = node;
  const [a, b] = [node.input(0), node.input(1)];
  if (a.dims.length === 0 || b.dims.length === 0) throw new Error('expected matrices or vectors, got a scalar');
  const left = a.dims.length === 1 ? builder.reshape(a, [1, ...a.dims]) : a;
  const right = b.dims.length === 1 ? builder.reshape(b, [...b.dims, 1]) : b;
  const product = builder.matMul(left, right);
  const rank = product.dims.length;
  const dims = product.dims.filter(
    (_, axis) => !(axis === rank - 2 && a.dims.length === 1) && !(axis === rank - 1 && b.dims.length === 1),
  );
  return builder.reshape(product, dims);
};

/** alpha · A · B + beta · C */
export const gemm: Build = (node) => {
  const { builder } = node;
  const [a, b] = [node.input(0), node.input(1)];
  if (a.dims.length !== 2 || b.dims.length !== 2) throw new Error('expected two matrices');
  const left = node.flag('transA') ? builder.transpose(a, [1, 0]) : a;
  const product = builder.matMul(left, b, node.flag('transB'));
  const scaled = builder.scale(product, node.float('alpha', 1), 0);
  const c = node.optional(2);
  if (!c) return scaled;
  return builder.binary('add', scaled, builder.scale(c, node.float('beta', 1), 0));
};
