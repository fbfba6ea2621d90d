/** Pictures as model inputs. */
import { resultBuffer } from '../engine/result-memory.ts';
import type { Tensor } from '../engine/tensor.ts';
import type { Image } from './image.ts';

export interface ToTensorOptions {
  readonly layout?: 'nchw' | 'nhwc';
  readonly order?: 'rgb' | 'bgr' | 'gray';
  /** Each element is `(pixel · scale − mean) / std`; mean and std per channel of the tensor, in its order. */
  readonly scale?: number;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
}

/** A float32 tensor of shape [1, C, H, W] or [1, H, W, C]. Without options: RGB, NCHW, 0 … 1. */
export function toTensor(image: Image, options: ToTensorOptions = {}): Tensor {
  const { layout = 'nchw', order = 'rgb', scale = 1 / 255 } = options;
  const { width, height } = image;
  const channels = order === 'gray' ? 1 : 3;
  const size = width * height;
  // Every element is written.
  const data = new Float32Array(resultBuffer(size * channels * Float32Array.BYTES_PER_ELEMENT));
  const source = order === 'gray' ? toGrey(image) : image;
  // A pixel has 256 values: the arithmetic is done once for each, in double precision.
  const table = new Float32Array(256);
  for (let channel = 0; channel < channels; channel++) {
    const mean = channelOption('mean', options.mean, channel, channels) ?? 0;
    const std = channelOption('std', options.std, channel, channels) ?? 1;
    if (std === 0) throw new Error('picture tensor: expected "std" without zeros');
    for (let pixel = 0; pixel < 256; pixel++) table[pixel] = (pixel * scale - mean) / std;
    const from = source.channels === 1 ? 0 : order === 'bgr' ? 2 - channel : channel;
    if (layout === 'nchw') fill(data, channel * size, 1, source, from, table);
    else fill(data, channel, channels, source, from, table);
  }
  const dims = layout === 'nchw' ? [1, channels, height, width] : [1, height, width, channels];
  return { type: 'float32', dims, data };
}

function channelOption(
  name: string,
  values: readonly number[] | undefined,
  channel: number,
  channels: number,
): number | undefined {
  if (values && values.length !== 1 && values.length !== channels) {
    throw new Error(`picture tensor: expected "${name}" with 1 or ${channels} numbers, got ${values.length}`);
  }
  return values?.length === 1 ? values[0] : values?.[channel];
}

function fill(data: Float32Array, to: number, stepTo: number, source: Image, from: number, table: Float32Array): void {
  const pixels = source.data;
  const step = source.channels;
  const count = source.width * source.height;
  for (let i = 0; i < count; i++, to += stepTo, from += step) data[to] = table[pixels[from] as number] as number;
}

/** Luma of ITU-R BT.601, rounded to 8 bits, in the fixed point that OpenCV's cvtColor uses (1/16384). */
export function toGrey(image: Image): Image {
  if (image.channels === 1) return image;
  const { width, height, data } = image;
  const grey = new Uint8Array(width * height);
  for (let from = 0, to = 0; to < grey.length; from += 3, to++) {
    const red = data[from] as number;
    const green = data[from + 1] as number;
    const blue = data[from + 2] as number;
    grey[to] = (red * 4899 + green * 9617 + blue * 1868 + 8192) >> 14;
  }
  return { width, height, channels: 1, data: grey };
}
