/** Positions as numbers: the building stone of masks and of indices. */
import type { Builder } from '../compile/builder.ts';
import type { Value } from '../compile/graph.ts';
import { POSITIONS_MAX } from '../compile/limits.ts';
import { UnsupportedError } from '../compile/program.ts';
import type { DataType } from '../engine/tensor.ts';
import type { Build } from './context.ts';

/** 0, 1, 2 … in a shape of `count` elements. */
export function iota(builder: Builder, count: number, dims: readonly number[], type: DataType = 'int64'): Value {
  if (count > POSITIONS_MAX)
    throw new UnsupportedError(`${count} positions along an axis are not supported, at most ${POSITIONS_MAX}`);
  return builder.literal(
    type,
    dims,
    Array.from({ length: count }, (_, i) => i),
  );
}

/** Positions along one axis, shaped to broadcast against all of them. */
export function alongAxis(builder: Builder, dims: readonly number[], axis: number): Value {
  const size = dims[axis] as number;
  return iota(
    builder,
    size,
    dims.map((_, i) => (i === axis ? size : 1)),
  );
}

/** The upper or lower triangle of matrices; the rest becomes zero. */
export const trilu: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const rank = x.dims.length;
  const [rows = 0, columns = 0] = x.dims.slice(-2);
  if (rank < 2) throw new Error(`expected matrices, got shape [${x.dims}]`);
  const given = node.optional(1);
  // Counted from the main diagonal; anything beyond the matrix is the same as its corner.
  const offset = given ? builder.reshape(given, []) : builder.literal('int64', [], [0]);
  const first = builder.binary('add', iota(builder, rows, [rows, 1]), offset);
  const name = node.flag('upper', true) ? 'greaterOrEqual' : 'lessOrEqual';
  const kept = builder.add({ kind: 'compare', name }, [iota(builder, columns, [columns]), first]);
  return builder.add({ kind: 'where' }, [kept, x, builder.literal(x.type, [], [0])]);
};

/** TensorProto.DataType → ours, as far as a diagonal of ones is asked for. */
export const eyeLike: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [rows = 0, columns = 0] = x.dims;
  if (x.dims.length !== 2) throw new Error(`expected a matrix, got shape [${x.dims}]`);
  const type = 'dtype' in node.node.attributes ? node.dataType(node.int('dtype')) : x.type;
  const diagonal = iota(builder, rows, [rows, 1]);
  const shifted = builder.binary('add', diagonal, builder.literal('int64', [], [node.int('k', 0)]));
  const isOn = builder.add({ kind: 'compare', name: 'equal' }, [iota(builder, columns, [columns]), shifted]);
  return builder.cast(isOn, type);
};

/** 1 at the first largest element along an axis, 0 elsewhere. */
export const hardmax: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const flat = node.opset < 13;
  const axis = node.axis(node.int('axis', flat ? 1 : -1), x.dims.length);
  const count = (dims: readonly number[]): number => dims.reduce((product, size) => product * size, 1);
  // Before opset 13 the axes from `axis` on count as one.
  const rows = flat ? builder.reshape(x, [count(x.dims.slice(0, axis)), count(x.dims.slice(axis))]) : x;
  const along = flat ? 1 : axis;
  const largest = builder.add({ kind: 'argMax', axis: along, least: false, last: false }, [rows]);
  const isLargest = builder.add({ kind: 'compare', name: 'equal' }, [alongAxis(builder, rows.dims, along), largest]);
  return builder.reshape(builder.cast(isLargest, x.type), x.dims);
};
