/** Convolutions over three axes as sums of convolutions over two, one for every tap of the kernel's depth. */
import type { Value } from '../compile/graph.ts';
import type { OperatorContext } from './context.ts';
import { channelsFirst, channelsLast, reachOf, type Slide, slidesOf, window2d } from './window.ts';

export interface ConvParts {
  readonly weights: Value;
  readonly bias: Value | undefined;
  readonly group: number;
}

type Triple<Item> = readonly [Item, Item, Item];

function checkVolume(x: Value): void {
  if (x.dims.slice(2).includes(0))
    throw new Error(`expected a volume of at least one voxel, got shape [${x.dims.join(', ')}]`);
}

/** The weights of one tap: [a, b, depth, height, width] → [a, b, height, width]. */
function tapOf({ builder }: OperatorContext, weights: Value, tap: number): Value {
  const [a = 0, b = 0, , ...plane] = weights.dims;
  return builder.reshape(builder.sliceAxis(weights, 2, tap, tap + 1), [a, b, ...plane]);
}

/** x [n, c, d, h, w], weights [m, c / group, kd, kh, kw] */
export function convVolume(node: OperatorContext, { weights, bias, group }: ConvParts): Value {
  const { builder } = node;
  checkVolume(node.input(0));
  const kernel = weights.dims.slice(2);
  const [depth, rows, columns] = slidesOf(node, kernel, node.input(0).dims.slice(2)) as unknown as Triple<Slide>;
  const volume = channelsLast(node, node.input(0));
  const padding = { begins: [0, depth.begin, 0, 0, 0], ends: [0, depth.end, 0, 0, 0] };
  const padded = builder.add({ kind: 'pad', mode: 'constant', ...padding, value: 0 }, [volume]);
  const [n = 0, deep = 0, ...picture] = padded.dims;
  const layers = Math.floor((deep - reachOf(depth)) / depth.stride) + 1;
  if (layers < 1) throw new Error(`expected a volume at least as deep as the kernel, got [${volume.dims.join(', ')}]`);
  const window = window2d(rows, columns);
  let sum: Value | undefined;
  for (let tap = 0; tap < depth.kernel; tap++) {
    const part = { starts: [0, tap * depth.dilation, 0, 0, 0], steps: [1, depth.stride, 1, 1, 1] };
    const seen = builder.add({ kind: 'slice', ...part, sizes: [n, layers, ...picture] }, [padded]);
    const operands = [builder.reshape(seen, [n * layers, ...picture]), tapOf(node, weights, tap)];
    if (bias && tap === 0) operands.push(bias);
    const y = builder.add({ kind: 'conv', window, group }, operands);
    sum = sum ? builder.binary('add', y, sum) : y;
  }
  const planes = sum as Value;
  return channelsFirst(node, builder.reshape(planes, [n, layers, ...planes.dims.slice(1)]));
}

/** x [n, c, d, h, w], weights [c, m / group, kd, kh, kw]; the padding in `slides` is cut off. */
export function convTransposeVolume(
  node: OperatorContext,
  { weights, bias, group }: ConvParts,
  slides: readonly Slide[],
  outputSize: readonly number[],
): Value {
  const { builder } = node;
  checkVolume(node.input(0));
  const [depth, rows, columns] = slides as unknown as Triple<Slide>;
  const [layers, height, width] = outputSize as unknown as Triple<number>;
  const volume = channelsLast(node, node.input(0));
  const [n = 0, deep = 0, ...picture] = volume.dims;
  const planes = builder.reshape(volume, [n * deep, ...picture]);
  const operation = { kind: 'convTranspose', window: window2d(rows, columns), group } as const;
  const channels = (weights.dims[1] ?? 0) * group;
  const inner = height * width * channels;
  let sum = builder.expand(builder.scalar(0), [n, layers, inner]);
  for (let tap = 0; tap < depth.kernel; tap++) {
    const operands = [planes, tapOf(node, weights, tap)];
    const grown = builder.add({ ...operation, outputSize: [height, width] }, operands);
    const spread = spreadOut(node, builder.reshape(grown, [n, deep, inner]), depth.stride);
    const placed = place(node, spread, tap * depth.dilation - depth.begin, layers);
    if (placed) sum = builder.binary('add', sum, placed);
  }
  const y = builder.reshape(sum, [n, layers, height, width, channels]);
  return channelsFirst(node, bias ? builder.binary('add', y, bias) : y);
}

/** Zeros behind every layer, so that they lie `stride` apart. */
function spreadOut({ builder }: OperatorContext, x: Value, stride: number): Value {
  const [n = 0, layers = 0, inner = 0] = x.dims;
  const padding = { begins: [0, 0, 0, 0], ends: [0, 0, stride - 1, 0] };
  const each = builder.reshape(x, [n, layers, 1, inner]);
  const spread = builder.add({ kind: 'pad', mode: 'constant', ...padding, value: 0 }, [each]);
  return builder.reshape(spread, [n, layers * stride, inner]);
}

/** Layer 0 goes to `offset` among `size` layers; what lies outside is dropped. */
function place({ builder }: OperatorContext, x: Value, offset: number, size: number): Value | undefined {
  const first = Math.max(0, -offset);
  const before = Math.max(0, offset);
  const count = Math.min((x.dims[1] as number) - first, size - before);
  if (count <= 0) return undefined;
  const padding = { begins: [0, before, 0], ends: [0, size - before - count, 0] };
  const kept = builder.sliceAxis(x, 1, first, first + count);
  return builder.add({ kind: 'pad', mode: 'constant', ...padding, value: 0 }, [kept]);
}
