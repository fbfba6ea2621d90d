/** Emitters of the rare operations. */
import { elementBytes, elementCount } from '../engine/tensor.ts';
import { type Emitter, inputOf, type OperationOf, outputOf, requireFloat32 } from './emission.ts';
import type { Node, Value } from './graph.ts';
import type { Address } from './instructions.ts';
import { BLOCK_COLUMNS } from './pack-blocks.ts';
import { inParts } from './writer.ts';

export const wrapIndices: Emitter<OperationOf<'wrapIndices'>> = {
  emit({ assembler, node, operation, at }) {
    const x = inputOf(node, 0);
    const type = x.type as 'int32' | 'int64';
    const count = elementCount(x.dims);
    assembler.wrapIndices({ x: at(x), type, y: at(outputOf(node)), count, size: operation.size });
  },
};

export const scatter: Emitter<OperationOf<'scatter'>> = {
  emit({ assembler, node, operation, at }) {
    const [x, positions, updates] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2)];
    const y = at(outputOf(node));
    const [rows = 0, inner = 0] = x.dims;
    const block = { shape: [elementCount(x.dims)], xStrides: [1], yStrides: [1] };
    assembler.copy({ ...block, x: at(x), y, elementBytes: elementBytes(x.type) });
    const count = elementCount(positions.dims);
    if (count === 0 || inner === 0) return;
    const places = { y, positions: at(positions), updates: at(updates), rows, inner, count };
    assembler.scatter({ ...places, name: operation.name, type: x.type });
  },
};

function runOf(x: Value, axis: number) {
  const [outer, inner] = [x.dims.slice(0, axis), x.dims.slice(axis + 1)].map(elementCount) as [number, number];
  return { type: x.type, outer, axis: x.dims[axis] as number, inner };
}

export const cumulate: Emitter<OperationOf<'cumulate'>> = {
  emit({ assembler, node, operation, at }) {
    const x = inputOf(node, 0);
    const { product, exclusive, reverse } = operation;
    const run = runOf(x, operation.axis);
    assembler.cumulate({ ...run, x: at(x), y: at(outputOf(node)), product, exclusive, reverse });
  },
};

export const topK: Emitter<OperationOf<'topK'>> = {
  scratchBytes: (node, { axis }) => (inputOf(node, 0).dims[axis] as number) * 4,
  emit({ assembler, node, operation, scratch, at }) {
    const x = inputOf(node, 0);
    const [values, indices] = node.outputs.map(at) as [number, number];
    const { k, largest } = operation;
    assembler.topK({ ...runOf(x, operation.axis), x: at(x), values, indices, heap: scratch, k, largest });
  },
};

export const sample: Emitter<OperationOf<'sample'>> = {
  emit({ assembler, node, operation, at }) {
    const [x, grid] = [inputOf(node, 0), inputOf(node, 1)];
    requireFloat32(node, x, grid);
    const spatial = x.dims.slice(1, -1);
    const [batch = 0, points = 0, rank] = grid.dims;
    const size = (spatial.length === 3 ? spatial : [1, ...spatial]) as [number, number, number];
    const { mode, border, aligned, normalised } = operation;
    const places = { x: at(x), grid: at(grid), y: at(outputOf(node)), mode, border, aligned, normalised };
    const channels = x.dims.at(-1) as number;
    assembler.sample({ ...places, size, rank: rank as 2 | 3, channels, batch, points });
  },
};

export const roiAlign: Emitter<OperationOf<'roiAlign'>> = {
  emit({ assembler, node, operation, at }) {
    const [x, rois, images] = [inputOf(node, 0), inputOf(node, 1), inputOf(node, 2)];
    requireFloat32(node, x, rois);
    const places = { x: at(x), rois: at(rois), images: at(images), y: at(outputOf(node)) };
    const { outputSize, ratio, scale, offset, largest } = operation;
    const regions = rois.dims[0] as number;
    assembler.roiAlign({ ...places, dims: x.dims, regions, outputSize, ratio, scale, offset, largest });
  },
};

export const lookup: Emitter<OperationOf<'lookup'>> = {
  emit({ assembler, node, at }) {
    const [x, table] = [inputOf(node, 0), inputOf(node, 1)];
    const channels = table.dims[1] as number;
    const rows = elementCount(x.dims) / channels;
    assembler.lookup({ x: at(x), table: at(table), y: at(outputOf(node)), rows, channels });
  },
};

export const pairOpposites: Emitter<OperationOf<'pairOpposites'>> = {
  emit({ assembler, node, operation, at }) {
    const [x, reversed, y] = [inputOf(node, 0), inputOf(node, 1), outputOf(node)];
    requireFloat32(node, x, reversed);
    const { name, taps, step, first } = operation;
    const length = x.dims[1] as number;
    const places = { aOffset: first, bOffset: length - taps };
    const strides = (along: number): number[] => [length, along, 1];
    assembler.binary(name, at(x), at(reversed), at(y), y.dims, strides(step), strides(-step), 'float32', places);
  },
};

const sizeOf = (node: Node): number => inputOf(node, 0).dims.at(-1) as number;

export const determinant: Emitter<OperationOf<'determinant'>> = {
  scratchBytes: (node) => (sizeOf(node) ** 2 + 1) * 8,
  emit({ assembler, node, scratch, at }) {
    const x = inputOf(node, 0);
    requireFloat32(node, x);
    const size = sizeOf(node);
    const count = elementCount(x.dims.slice(0, -2));
    assembler.determinant({ x: at(x), y: at(outputOf(node)), room: scratch, count, size });
  },
};

export const uniform: Emitter<OperationOf<'uniform'>> = {
  scratchBytes: () => 8,
  emit({ assembler, node, operation, scratch, at }) {
    const y = outputOf(node);
    const places = { draws: at(inputOf(node, 0)), room: scratch, y: at(y) };
    assembler.uniform({ ...places, key: operation.key, count: elementCount(y.dims) });
  },
};

export const maxRoiPool: Emitter<OperationOf<'maxRoiPool'>> = {
  emit({ assembler, node, operation, at }) {
    const [x, rois] = [inputOf(node, 0), inputOf(node, 1)];
    requireFloat32(node, x, rois);
    const places = { x: at(x), rois: at(rois), y: at(outputOf(node)) };
    const { outputSize, scale } = operation;
    assembler.maxRoiPool({ ...places, dims: x.dims, regions: rois.dims[0] as number, outputSize, scale });
  },
};

type Five = [Address, Address, Address, Address, Address];

/** x, nodes, thresholds, roots, targets, weights. */
export const trees: Emitter<OperationOf<'trees'>> = {
  emit({ assembler, node, operation, at }) {
    const x = inputOf(node, 0);
    const [nodes, thresholds, roots, targets, weights] = [1, 2, 3, 4, 5].map((i) => at(inputOf(node, i))) as Five;
    const [rows = 0, features = 0] = x.dims;
    const tables = { nodes, thresholds, roots, targets, weights };
    const sizes = { rows, features, trees: inputOf(node, 3).dims[0] ?? 0 };
    const { name, outputs, depth } = operation;
    assembler.trees({ ...tables, ...sizes, name, outputs, depth, type: x.type, x: at(x), y: at(outputOf(node)) });
  },
};

/** Of unpacked columns: they shall stay in the cache until they are multiplied. */
const UNPACKED_BYTES = 128 * 1024;

/** Groups of 16 columns that are unpacked and multiplied at a time. */
function groupsAtOnce(levels: Value): number {
  const [groups = 1, k = 1] = levels.dims;
  return Math.min(groups, Math.max(1, Math.floor(UNPACKED_BYTES / (k * BLOCK_COLUMNS * 4))));
}

/** x, levels, scales, zero points. */
export const matMulBlocks: Emitter<OperationOf<'matMulBlocks'>> = {
  scratchBytes: (node) => groupsAtOnce(inputOf(node, 1)) * (inputOf(node, 1).dims[1] as number) * BLOCK_COLUMNS * 4,
  emit({ assembler, node, operation, scratch, at }) {
    const [x, levels, scales, zeros] = [0, 1, 2, 3].map((i) => inputOf(node, i)) as [Value, Value, Value, Value];
    const [groups = 0, k = 0] = levels.dims;
    const { n, block } = operation;
    const m = elementCount(x.dims.slice(0, -1));
    const table = {
      levels: at(levels),
      scales: at(scales),
      zeros: at(zeros),
      isOneZero: elementCount(zeros.dims) === BLOCK_COLUMNS,
    };
    const y = at(outputOf(node));
    inParts(groups, groupsAtOnce(levels), (begin, end) => {
      assembler.unpackBlocks({ ...table, y: scratch, k, block, begin, end });
      const first = begin * BLOCK_COLUMNS;
      const columns = Math.min(n, end * BLOCK_COLUMNS) - first;
      assembler.gemm({ a: at(x), lda: k, packedB: scratch, c: y + first * 4, ldc: n, m, n: columns, k });
    });
  },
};
