/** Matrix products of float64 and of integers. */
import { type DataType, elementBytes } from '../engine/tensor.ts';
import { type Emitter, inputOf, type OperationOf, outputOf } from './emission.ts';
import { productOf } from './emit-matrix.ts';
import { UnsupportedError } from './program.ts';
import { behind } from './writer.ts';

const types: ReadonlySet<DataType> = new Set(['float64', 'int32', 'uint32', 'int64', 'uint64'] as const);

export const emitProduct: Emitter<OperationOf<'product'>> = {
  emit({ assembler, node, operation, at }) {
    const [a, b, y] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
    if (a.type !== b.type || !types.has(a.type))
      throw new UnsupportedError(`node "${node.origin}": matMul of ${a.type} and ${b.type} values is not supported`);
    const { m, n, k, pairs } = productOf(node);
    const bytes = elementBytes(a.type);
    for (const [index, pair] of pairs.entries()) {
      const matrices = {
        a: behind(at(a), pair.a * m * k, bytes),
        b: behind(at(b), pair.b * k * n, bytes),
        c: behind(at(y), index * m * n, bytes),
      };
      assembler.product({ ...matrices, type: a.type, m, n, k, transposed: operation.transposeB });
    }
  },
};
