/** Pools. */
import type { ReduceName } from '../compile/instructions.ts';
import type { Build, OperatorContext } from './context.ts';
import { pair, pictureOf, pooledSize, windowOf } from './window.ts';

function partsOf(node: OperatorContext) {
  const { x, spatialRank, restore } = pictureOf(node, node.input(0));
  const [, height = 0, width = 0] = x.dims;
  const kernel = pair(node, 'kernel_shape', spatialRank, 1, 1);
  const window = windowOf(node, spatialRank, kernel, [height, width]);
  const ceil = node.flag('ceil_mode');
  const outputSize = [pooledSize(height, window, 0, ceil), pooledSize(width, window, 1, ceil)] as const;
  return { x, restore, window, ceil, outputSize };
}

export const maxPool: Build = (node) => {
  const { x, restore, window, outputSize } = partsOf(node);
  if (node.isUsed(1)) throw node.unsupported('output "Indices"');
  return restore(node.builder.add({ kind: 'maxPool', window, outputSize }, [x]));
};

export const averagePool: Build = (node) => {
  const { x, restore, window, ceil, outputSize } = partsOf(node);
  const countIncludePad = node.flag('count_include_pad');
  if (ceil && countIncludePad) throw node.unsupported('"ceil_mode" together with "count_include_pad"');
  return restore(node.builder.add({ kind: 'averagePool', window, outputSize, countIncludePad }, [x]));
};

/** Over all axes behind batch and channels. */
export function globalPool(name: ReduceName): Build {
  return (node) => {
    const x = node.input(0);
    return node.builder.reduce(name, x, x.dims.map((_, axis) => axis).slice(2));
  };
}
