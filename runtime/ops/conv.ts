/** Conv, ConvTranspose. */
import { isHalf } from '../compile/half.ts';
import type { Build, OperatorContext } from './context.ts';
import { type ConvParts, convTransposeVolume, convVolume } from './volume.ts';
import {
  autoPads,
  kernelOf,
  listOf,
  pictureOf,
  reachOf,
  type Slide,
  slidesOf,
  splitPad,
  still,
  window2d,
  windowOf,
} from './window.ts';

function partsOf(node: OperatorContext): ConvParts {
  const x = node.input(0);
  const weights = kernelOf(node, node.input(1));
  const bias = node.optional(2);
  const group = node.int('group', 1);
  const channels = x.dims[1] ?? 0;
  if ([weights, x].some(({ type }) => type !== 'float32' && type !== 'float64' && !isHalf(type)))
    throw node.unsupported(`type ${weights.type}`);
  const rank = node.input(1).dims.length;
  if (rank < 3 || rank > 5) throw node.unsupported(`a kernel of rank ${rank}`);
  if (rank !== x.dims.length)
    throw new Error(`expected a kernel of rank ${x.dims.length}, as the input, got [${node.input(1).dims.join(', ')}]`);
  if (group < 1 || channels % group !== 0)
    throw new Error(`attribute "group": expected a divisor of ${channels} input channels, got ${group}`);
  const declared = node.ints('kernel_shape');
  const spatial = node.input(1).dims.slice(2);
  if (declared && declared.join() !== spatial.join())
    throw new Error(`attribute "kernel_shape": expected [${spatial}], the size of the weights, got [${declared}]`);
  return { weights, bias, group };
}

export const conv: Build = (node) => {
  const parts = partsOf(node);
  if (node.input(0).dims.length === 5) return convVolume(node, parts);
  const { weights, bias, group } = parts;
  const { x, spatialRank, restore } = pictureOf(node, node.input(0));
  const [, height = 0, width = 0] = x.dims;
  const [, , kernelHeight = 0, kernelWidth = 0] = weights.dims;
  const window = windowOf(node, spatialRank, [kernelHeight, kernelWidth], [height, width]);
  return restore(node.builder.add({ kind: 'conv', window, group }, bias ? [x, weights, bias] : [x, weights]));
};

/** Padding and output size of every spatial axis; source: ONNX ConvTranspose, the formulas in its description. */
function transposedSizes(node: OperatorContext): { slides: Slide[]; outputSize: number[] } {
  const size = node.input(0).dims.slice(2);
  const rank = size.length;
  const extra = listOf(node, 'output_padding', rank, 0, 0);
  const wanted = node.ints('output_shape')?.slice(-rank);
  const auto = node.text('auto_pad', autoPads, 'NOTSET');
  const same = auto === 'SAME_UPPER' || auto === 'SAME_LOWER';
  const axes = slidesOf(node, node.input(1).dims.slice(2), size).map((slide, axis) => {
    const each = size[axis] as number;
    const full = slide.stride * (each - 1) + (extra[axis] as number) + reachOf(slide);
    const target = wanted?.[axis] ?? (same ? each * slide.stride : undefined);
    if (target === undefined) return { slide, size: full - slide.begin - slide.end };
    const [begin, end] = splitPad(Math.max(full - target, 0), auto === 'SAME_UPPER');
    return { slide: { ...slide, begin, end }, size: target };
  });
  const outputSize = axes.map((axis) => axis.size);
  if (outputSize.some((each) => !(each >= 0)))
    throw new Error(`expected padding smaller than the output, got ${outputSize}`);
  return { slides: axes.map(({ slide }) => slide), outputSize };
}

export const convTranspose: Build = (node) => {
  const parts = partsOf(node);
  const { weights, bias, group } = parts;
  const channels = node.input(0).dims[1];
  if (weights.dims[0] !== channels)
    throw new Error(`expected weights for ${channels} input channels, got [${weights.dims.join(', ')}]`);
  const { slides, outputSize } = transposedSizes(node);
  if (slides.length === 3) return convTransposeVolume(node, parts, slides, outputSize);
  const { x, restore } = pictureOf(node, node.input(0));
  const window = window2d(slides.at(-2) ?? still, slides.at(-1) as Slide);
  const size = [outputSize.at(-2) ?? 1, outputSize.at(-1) as number] as const;
  const operation = { kind: 'convTranspose', window, group, outputSize: size } as const;
  return restore(node.builder.add(operation, bias ? [x, weights, bias] : [x, weights]));
};
