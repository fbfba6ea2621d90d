/** Conv, ConvTranspose. */
import type { Size2d, Value } from '../compile/graph.ts';
import { isHalf } from '../compile/half.ts';
import type { Window2d } from '../compile/instructions.ts';
import type { Build, OperatorContext } from './context.ts';
import { autoPads, kernelOf, listOf, pictureOf, splitPad, windowOf } from './window.ts';

interface Parts {
  readonly weights: Value;
  readonly kernel: Size2d;
  readonly bias: Value | undefined;
  readonly group: number;
}

function partsOf(node: OperatorContext): Parts {
  const weights = kernelOf(node, node.input(1));
  const bias = node.optional(2);
  const group = node.int('group', 1);
  const channels = node.input(0).dims[1] ?? 0;
  if ([weights, node.input(0)].some(({ type }) => type !== 'float32' && !isHalf(type)))
    throw node.unsupported(`type ${weights.type}`);
  if (weights.dims.length !== 4) throw node.unsupported(`a kernel of rank ${weights.dims.length}`);
  if (group < 1 || channels % group !== 0)
    throw new Error(`attribute "group": expected a divisor of ${channels} input channels, got ${group}`);
  const [, , height = 0, width = 0] = weights.dims;
  const declared = node.ints('kernel_shape');
  const spatial = node.input(1).dims.slice(2);
  if (declared && declared.join() !== spatial.join())
    throw new Error(`attribute "kernel_shape": expected [${spatial}], the size of the weights, got [${declared}]`);
  return { weights, kernel: [height, width], bias, group };
}

export const conv: Build = (node) => {
  const { weights, kernel, bias, group } = partsOf(node);
  const { x, spatialRank, restore } = pictureOf(node, node.input(0));
  const [, height = 0, width = 0] = x.dims;
  const window = windowOf(node, spatialRank, kernel, [height, width]);
  return restore(node.builder.add({ kind: 'conv', window, group }, bias ? [x, weights, bias] : [x, weights]));
};

/** Padding and output size; source: ONNX ConvTranspose, the formulas in its description. */
function transposedSizes(
  node: OperatorContext,
  spatialRank: 1 | 2,
  kernel: Size2d,
  size: Size2d,
): { window: Window2d; outputSize: Size2d } {
  const given = windowOf(node, spatialRank, kernel, size);
  const extras = listOf(node, 'output_padding', spatialRank, 0, 0);
  const extra = [extras.at(-2) ?? 0, extras.at(-1) as number] as const;
  const wanted = node.ints('output_shape')?.slice(-spatialRank);
  const auto = node.text('auto_pad', autoPads, 'NOTSET');
  const same = auto === 'SAME_UPPER' || auto === 'SAME_LOWER';
  const axes = ([0, 1] as const).map((axis) => {
    const stride = given.strides[axis];
    const full = stride * (size[axis] - 1) + extra[axis] + (kernel[axis] - 1) * given.dilations[axis] + 1;
    const spatialAxis = axis - (2 - spatialRank);
    const target = spatialAxis < 0 ? undefined : (wanted?.[spatialAxis] ?? (same ? size[axis] * stride : undefined));
    if (target === undefined) {
      const [begin, end] = [given.pads[axis], given.pads[(axis + 2) as 2 | 3]];
      return { begin, end, size: full - begin - end };
    }
    const [begin, end] = splitPad(Math.max(full - target, 0), auto === 'SAME_UPPER');
    return { begin, end, size: target };
  });
  const [vertical, horizontal] = axes as [(typeof axes)[0], (typeof axes)[0]];
  const outputSize = [vertical.size, horizontal.size] as const;
  if (outputSize.some((each) => !(each >= 0)))
    throw new Error(`expected padding smaller than the output, got ${outputSize}`);
  return {
    window: { ...given, pads: [vertical.begin, horizontal.begin, vertical.end, horizontal.end] },
    outputSize,
  };
}

export const convTranspose: Build = (node) => {
  const { weights, kernel, bias, group } = partsOf(node);
  const { x, spatialRank, restore } = pictureOf(node, node.input(0));
  const [, height = 0, width = 0, channels] = x.dims;
  if (weights.dims[0] !== channels)
    throw new Error(`expected weights for ${channels} input channels, got [${weights.dims.join(', ')}]`);
  const { window, outputSize } = transposedSizes(node, spatialRank, kernel, [height, width]);
  const operation = { kind: 'convTranspose', window, group, outputSize } as const;
  return restore(node.builder.add(operation, bias ? [x, weights, bias] : [x, weights]));
};
