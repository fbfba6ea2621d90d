/** Sparse tensors of a model file, as the dense ones that they stand for. Source: onnx.proto3, SparseTensorProto. */
import { UnsupportedError } from '../compile/program.ts';
import { arrayOf, type DataType, elementBytes, elementCount, type Tensor, type TypedArray } from '../engine/tensor.ts';
import { SPARSE_BYTES_MAX } from './limits.ts';
import type { SparseTensorMessage } from './messages.ts';
import { checkedCount, isDataType, type TensorFiles, tensorOf } from './tensor-data.ts';

/** Made dense on first access. */
class SparseTensor implements Tensor {
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly #values: Tensor;
  readonly #indices: Tensor;
  readonly #what: string;
  #data: TypedArray | undefined;

  constructor(dims: readonly number[], values: Tensor, indices: Tensor, what: string) {
    this.type = values.type;
    this.dims = dims;
    this.#values = values;
    this.#indices = indices;
    this.#what = what;
  }

  get data(): TypedArray {
    this.#data ??= this.#decode();
    return this.#data;
  }

  #decode(): TypedArray {
    const values = this.#values.data;
    const indices = this.#indices.data;
    const dense = new (arrayOf(this.type))(elementCount(this.dims));
    const perValue = this.#indices.dims.length === 1 ? [dense.length] : this.dims;
    for (let i = 0, at = 0; i < values.length; i++) {
      let offset = 0;
      for (const dim of perValue) {
        const index = Number(indices[at++]);
        if (!(index >= 0 && index < dim))
          throw new Error(`${this.#what}: expected indices from 0 to ${dim - 1}, got ${index} for value ${i}`);
        offset = offset * dim + index;
      }
      dense[offset] = values[i] as number & bigint;
    }
    return dense;
  }
}

/**
 * Throws an Error where values, indices (linear [n] or one row of coordinates per value [n, rank]) and dimensions do
 * not fit together, and an UnsupportedError for element types without a dense form here.
 */
export function sparseTensorOf(message: SparseTensorMessage, files: TensorFiles, what: string): Tensor {
  if (!message.values || !message.indices)
    throw new Error(`${what}: expected the values and indices of a sparse tensor, found only one of them or none`);
  const values = tensorOf(message.values, files, `${what}, values`);
  const indices = tensorOf(message.indices, files, `${what}, indices`);
  const count = checkedCount(message.dims, what);
  if (values.type === 'string' || !isDataType(values.type))
    throw new UnsupportedError(`${what}: sparse tensors of type ${values.type} are not supported`);
  if (count * elementBytes(values.type) > SPARSE_BYTES_MAX)
    throw new Error(
      `${what}: expected a sparse tensor of at most ${SPARSE_BYTES_MAX} bytes when dense, got [${message.dims}]`,
    );
  const [n, rank] = indices.dims;
  const fits = indices.dims.length === 1 || (indices.dims.length === 2 && rank === message.dims.length);
  if (values.dims.length !== 1 || indices.type !== 'int64' || n !== values.dims[0] || !fits)
    throw new Error(
      `${what}: expected int64 indices [n] or [n, ${message.dims.length}] for values [n], got ${indices.type} [${indices.dims}] for [${values.dims}]`,
    );
  return new SparseTensor(message.dims, values, indices, what);
}
