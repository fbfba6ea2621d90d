/** Operators that read pictures between their pixels, and the inverse of taking windows. */
import type { Value } from '../compile/graph.ts';
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';
import { scatterRows } from './indexing.ts';
import { channelsFirst, channelsLast } from './window.ts';

const product = elementCount;

export const gridSample: Build = (node) => {
  const { builder } = node;
  const [x, grid] = [node.input(0), node.input(1)];
  const rank = x.dims.length - 2;
  const names = ['bilinear', 'linear', 'nearest', 'bicubic', 'cubic'] as const;
  const name = node.text('mode', names, node.opset < 20 ? 'bilinear' : 'linear');
  const mode = name.endsWith('linear') ? 'linear' : name === 'nearest' ? 'nearest' : 'cubic';
  if (mode === 'cubic' && rank !== 2) throw node.unsupported(`mode "${name}" of ${rank} spatial axes`);
  if (grid.dims.length !== x.dims.length || grid.dims.at(-1) !== rank)
    throw new Error(`expected a grid with places of ${rank} numbers, got [${grid.dims.join(', ')}]`);
  const points = grid.dims.slice(1, -1);
  const border = node.text('padding_mode', ['zeros', 'border', 'reflection'], 'zeros');
  const operation = { kind: 'sample', mode, border, aligned: node.flag('align_corners'), normalised: true } as const;
  const flat = builder.reshape(grid, [grid.dims[0] as number, product(points), rank]);
  const y = builder.add(operation, [channelsLast(node, x), flat]);
  return channelsFirst(node, builder.reshape(y, [y.dims[0] as number, ...points, x.dims[1] as number]));
};

/** The places that an affine map gives; theta [n, rank, rank + 1] and the size of the picture that is wanted. */
export const affineGrid: Build = (node) => {
  const { builder } = node;
  const theta = node.input(0);
  const [n = 0, , ...spatial] = node.integers(1);
  const aligned = node.flag('align_corners');
  const rank = spatial.length;
  if (theta.dims.join() !== [n, rank, rank + 1].join())
    throw new Error(`expected maps of shape [${n}, ${rank}, ${rank + 1}], got [${theta.dims.join(', ')}]`);
  const coordinate = (i: number, size: number): number => {
    if (!aligned) return (2 * i + 1) / size - 1;
    return size === 1 ? 0 : (2 * i) / (size - 1) - 1;
  };
  const count = product(spatial);
  // Homogeneous places, x first: the last axis of the picture is the first number.
  const base = Array.from({ length: count }, (_, point) => {
    let rest = point;
    const numbers = spatial.toReversed().map((size) => {
      const at = rest % size;
      rest = (rest - at) / size;
      return coordinate(at, size);
    });
    return [...numbers, 1];
  });
  const places = builder.cast(builder.literal('float32', [count, rank + 1], base.flat()), theta.type);
  return builder.reshape(builder.matMul(places, theta, true), [n, ...spatial, rank]);
};

export const roiAlign: Build = (node) => {
  const [x, rois, images] = [node.input(0), node.input(1), node.input(2)];
  const half =
    node.opset >= 16 &&
    node.text('coordinate_transformation_mode', ['half_pixel', 'output_half_pixel'], 'half_pixel') === 'half_pixel';
  const operation = {
    kind: 'roiAlign',
    outputSize: [node.int('output_height', 1), node.int('output_width', 1)],
    ratio: node.int('sampling_ratio', 0),
    scale: node.float('spatial_scale', 1),
    offset: half ? 0.5 : 0,
    largest: node.text('mode', ['avg', 'max'], 'avg') === 'max',
  } as const;
  const { outputSize, ratio } = operation;
  if (![...outputSize, ratio + 1].every((size) => size >= 1 && size <= 1025))
    throw new Error(`expected output sizes and a sampling ratio up to 1024, got ${outputSize} and ${ratio}`);
  const picture = channelsLast(node, x);
  return channelsFirst(node, node.builder.add(operation, [picture, rois, node.builder.cast(images, 'int64')]));
};

interface Windows {
  readonly size: readonly number[];
  readonly kernel: readonly number[];
  readonly strides: readonly number[];
  readonly dilations: readonly number[];
  readonly pads: readonly number[];
}

function windowsOf(node: OperatorContext, size: readonly number[], kernel: readonly number[]): Windows {
  const list = (name: string, fill: number, length: number): number[] => {
    const values = node.ints(name) ?? new Array<number>(length).fill(fill);
    if (values.length !== length || values.some((value) => value < Math.min(fill, 1)))
      throw new Error(`attribute "${name}": expected ${length} numbers, got [${values}]`);
    return values;
  };
  const rank = size.length;
  const [strides, dilations] = [list('strides', 1, rank), list('dilations', 1, rank)];
  return { size, kernel, strides, dilations, pads: list('pads', 0, 2 * rank) };
}

/** Windows along each axis. */
function countsOf({ size, kernel, strides, dilations, pads }: Windows): number[] {
  return size.map((each, axis) => {
    const reach = ((kernel[axis] as number) - 1) * (dilations[axis] as number) + 1;
    const room = each + (pads[axis] as number) + (pads[axis + size.length] as number) - reach;
    if (room < 0) throw new Error(`expected pictures at least as large as the window, got [${size}]`);
    return Math.floor(room / (strides[axis] as number)) + 1;
  });
}

/** Calls `visit` with every position of `dims`, in row-major order. */
function positionsOf(dims: readonly number[], visit: (position: readonly number[]) => void): void {
  const count = product(dims);
  for (let index = 0; index < count; index++) {
    let rest = index;
    const position = dims.toReversed().map((size) => {
      const at = rest % size;
      rest = (rest - at) / size;
      return at;
    });
    visit(position.reverse());
  }
}

/** Adds windows up where they overlap; x [n, c · taps, windows]. */
export const col2Im: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const windows = windowsOf(node, node.integers(1), node.integers(2));
  const { size, kernel, strides, dilations, pads } = windows;
  const counts = countsOf(windows);
  const padded = size.map((each, axis) => each + (pads[axis] as number) + (pads[axis + size.length] as number));
  const taps = product(kernel);
  const [n = 0, width = 0] = x.dims;
  const channels = width / taps;
  if (!Number.isInteger(channels) || x.dims[2] !== product(counts))
    throw new Error(`expected [n, c · ${taps}, ${product(counts)}], got [${x.dims.join(', ')}]`);
  const places: number[] = [];
  positionsOf(kernel, (tap) => {
    positionsOf(counts, (at) => {
      places.push(
        padded.reduce((sum, each, axis) => {
          const begin = (at[axis] as number) * (strides[axis] as number);
          return sum * each + begin + (tap[axis] as number) * (dilations[axis] as number);
        }, 0),
      );
    });
  });
  const split = builder.reshape(x, [n, channels, places.length]);
  const rows = builder.reshape(builder.transpose(split, [2, 0, 1]), [places.length, n * channels]);
  const zeros = builder.expand(builder.literal(x.type, [], [0]), [product(padded), n * channels]);
  const positions = builder.literal('int64', [places.length], places);
  const sums = scatterRows(node, zeros, positions, rows, product(padded), 'add');
  const whole = builder.reshape(builder.transpose(sums, [1, 0]), [n, channels, ...padded]);
  return size.reduce((y, each, axis) => {
    const begin = pads[axis] as number;
    return builder.sliceAxis(y, axis + 2, begin, begin + each);
  }, whole);
};

/** A convolution whose taps are moved by offsets that come with the data (J. Dai et al., 2017). */
export const deformConv: Build = (node) => {
  const { builder } = node;
  const [x, weights, offset] = [node.input(0), node.input(1), node.input(2)];
  const [n = 0, c = 0, height = 0, width = 0] = x.dims;
  if (x.dims.length !== 4) throw node.unsupported(`an input of rank ${x.dims.length}`);
  const [outputs = 0, perGroup = 0, ...kernel] = weights.dims;
  const windows = windowsOf(node, [height, width], kernel);
  const [rows = 0, columns = 0] = countsOf(windows);
  const [group, offsetGroup] = [node.int('group', 1), node.int('offset_group', 1)];
  const taps = product(kernel);
  const expected = [n, offsetGroup * taps * 2, rows, columns];
  if (perGroup * group !== c || c % offsetGroup !== 0 || offset.dims.join() !== expected.join())
    throw new Error(`expected offsets of shape [${expected.join(', ')}], got [${offset.dims.join(', ')}]`);
  const { strides, dilations, pads } = windows;
  // Where the taps would lie without offsets, y first.
  const base: number[] = [];
  positionsOf(kernel, (tap) => {
    for (const axis of [0, 1] as const) {
      positionsOf([rows, columns], (at) => {
        const begin = (at[axis] as number) * (strides[axis] as number) - (pads[axis] as number);
        base.push(begin + (tap[axis] as number) * (dilations[axis] as number));
      });
    }
  });
  const shape = [n * offsetGroup, taps, 2, rows * columns];
  const places = builder.binary(
    'add',
    builder.reshape(offset, shape),
    builder.literal('float32', [1, taps, 2, rows * columns], base),
  );
  const [y, xs] = [0, 1].map((i) => builder.transpose(builder.sliceAxis(places, 2, i, i + 1), [0, 1, 3, 2]));
  const points = taps * rows * columns;
  const grid = builder.reshape(builder.concat([xs as Value, y as Value], 3), [n * offsetGroup, points, 2]);
  const picture = channelsLast(node, builder.reshape(x, [n * offsetGroup, c / offsetGroup, height, width]));
  const operation = { kind: 'sample', mode: 'linear', border: 'zeros', aligned: true, normalised: false } as const;
  let read = builder.add(operation, [picture, grid]);
  const mask = node.optional(4);
  if (mask) read = builder.binary('mul', read, builder.reshape(mask, [n * offsetGroup, points, 1]));
  // [n, offset group, taps, pixels, channels] → [n, group, pixels, channels of the group · taps]
  const split = builder.reshape(read, [n, offsetGroup, taps, rows * columns, c / offsetGroup]);
  const byChannel = builder.reshape(builder.transpose(split, [0, 3, 1, 4, 2]), [
    n,
    rows * columns,
    group,
    perGroup * taps,
  ]);
  const kernels = builder.reshape(weights, [1, group, outputs / group, perGroup * taps]);
  const sums = builder.matMul(builder.transpose(byChannel, [0, 2, 1, 3]), kernels, true);
  const result = builder.reshape(builder.transpose(sums, [0, 1, 3, 2]), [n, outputs, rows, columns]);
  const bias = node.optional(3);
  return bias ? builder.binary('add', result, builder.reshape(bias, [outputs, 1, 1])) : result;
};

export const det: Build = (node) => node.builder.add({ kind: 'determinant' }, [node.input(0)]);
