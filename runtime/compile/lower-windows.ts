/** Convolutions and pools of float64, of what lies under each place of the window: x [n, h, w, c]. */
import type { Builder } from './builder.ts';
import type { OperationOf } from './emission.ts';
import type { Size2d, Value } from './graph.ts';
import { slidingSize } from './infer.ts';
import type { Window2d } from './instructions.ts';
import { UnsupportedError } from './program.ts';

/** Each place and group is a few operations. */
const PLACES_MAX = 4096;

/** For every place of the window what lies there: [n, height, width, c]. Around the picture lies `border`. */
function placesOf(builder: Builder, x: Value, window: Window2d, size: Size2d, border: number): Value[] {
  const { kernel, strides, dilations, pads } = window;
  const [n = 0, , , c = 0] = x.dims;
  // Windows may begin inside and end beyond the padding (ceil_mode).
  const ends = ([0, 1] as const).map((axis) => {
    const reach = (size[axis] - 1) * strides[axis] + (kernel[axis] - 1) * dilations[axis] + 1;
    return Math.max(reach - pads[axis] - (x.dims[axis + 1] as number), 0);
  }) as [number, number];
  const padding = { begins: [0, pads[0], pads[1], 0], ends: [0, ...ends, 0] };
  const padded = builder.add({ kind: 'pad', mode: 'constant', ...padding, value: border }, [x]);
  return Array.from({ length: kernel[0] * kernel[1] }, (_, place) => {
    const [row, column] = [Math.floor(place / kernel[1]), place % kernel[1]];
    const starts = [0, row * dilations[0], column * dilations[1], 0];
    return builder.add({ kind: 'slice', starts, steps: [1, ...strides, 1], sizes: [n, ...size, c] }, [padded]);
  });
}

function checkPlaces(builder: Builder, count: number): void {
  if (count > PLACES_MAX)
    throw new UnsupportedError(
      `node "${builder.origin}": a float64 window of ${count} places is not supported, at most ${PLACES_MAX}`,
    );
}

/** Patches times weights [m, c / group, kh, kw]. */
export function lowerConv64(
  builder: Builder,
  { window, group }: OperationOf<'conv'>,
  x: Value,
  weights: Value,
  bias: Value | undefined,
): Value {
  const [n = 0, height = 0, width = 0, c = 0] = x.dims;
  const [m = 0, perGroup = 0] = weights.dims;
  const size = [slidingSize(height, window, 0), slidingSize(width, window, 1)] as const;
  checkPlaces(builder, window.kernel[0] * window.kernel[1] * group);
  if (perGroup * group !== c || m % group !== 0 || size.some((each) => each < 0))
    throw new Error(`expected weights for ${c} channels and a picture of ${height} x ${width}, got [${weights.dims}]`);
  const places = placesOf(builder, x, window, size, 0);
  const ordered = builder.transpose(weights, [0, 2, 3, 1]);
  const parts = Array.from({ length: group }, (_, index) => {
    const channels = places.map((place) => builder.sliceAxis(place, 3, index * perGroup, (index + 1) * perGroup));
    const patches = builder.concat(channels, 3);
    const [rows, length] = [n * size[0] * size[1], places.length * perGroup];
    const own = builder.sliceAxis(ordered, 0, (index * m) / group, ((index + 1) * m) / group);
    return builder.matMul(builder.reshape(patches, [rows, length]), builder.reshape(own, [m / group, length]), true);
  });
  const y = builder.reshape(builder.concat(parts, 1), [n, ...size, m]);
  return bias ? builder.binary('add', y, bias) : y;
}

/** How many of a window's rows (or columns) lie inside, for each of its positions. */
function countsInside(window: Window2d, axis: 0 | 1, size: number, positions: number, withPads: boolean): number[] {
  const { kernel, strides, dilations, pads } = window;
  const [first, end] = withPads ? [-pads[axis], size + pads[(axis + 2) as 2 | 3]] : [0, size];
  return Array.from({ length: positions }, (_, position) => {
    const begin = position * strides[axis] - pads[axis];
    const places = Array.from({ length: kernel[axis] }, (_, place) => begin + place * dilations[axis]);
    return places.filter((place) => place >= first && place < end).length;
  });
}

export function lowerPool64(
  builder: Builder,
  operation: OperationOf<'maxPool'> | OperationOf<'averagePool'>,
  x: Value,
): Value {
  const { window, outputSize } = operation;
  checkPlaces(builder, window.kernel[0] * window.kernel[1]);
  const isMax = operation.kind === 'maxPool';
  const places = placesOf(builder, x, window, outputSize, isMax ? -Infinity : 0);
  const joined = places.reduce((result, place) => builder.binary(isMax ? 'max' : 'add', result, place));
  if (operation.kind === 'maxPool') return joined;
  const [rows, columns] = ([0, 1] as const).map((axis) =>
    countsInside(window, axis, x.dims[axis + 1] as number, outputSize[axis], operation.countIncludePad),
  ) as [number[], number[]];
  const counts = rows.flatMap((row) => columns.map((column) => row * column));
  return builder.binary('div', joined, builder.literal('float64', [1, ...outputSize, 1], counts));
}
