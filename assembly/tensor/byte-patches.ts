// im2col (patches.ts) of bytes for byte-gemm.ts. Rows begin at multiples of 4 bytes; what lies between is multiplied by zeros. Vectors
// write up to 15 bytes beyond the end of a run: the next run lies there, or the slack behind the last row.
import { ByteGather, ConvShape, at } from '../operands.ts';

/** `count` bytes; up to 15 more are read where they lie before `limit`. */
// @ts-ignore: decorator
@inline
function copy(target: usize, source: usize, count: i32, flip: v128, limit: usize): void {
  for (; count > 0 && source + 16 <= limit; count -= 16) {
    v128.store(target, v128.xor(v128.load(source), flip));
    target += 16;
    source += 16;
  }
  for (; count > 0; count--) store<u8>(target++, load<u8>(source++) ^ i8x16.extract_lane_u(flip, 0));
}

// @ts-ignore: decorator
@inline
function pad(target: usize, count: i32, fill: v128): void {
  for (; count > 0; count -= 16) {
    v128.store(target, fill);
    target += 16;
  }
}

/** Output pixels [begin, end) → rows of [kernelHeight][kernelWidth][channels]. `direct`: rows are the pixels of x, one behind the other. */
export function gatherBytes(shape: ConvShape, o: ByteGather): void {
  const height = shape.inputHeight, width = shape.inputWidth, dilation = shape.dilationWidth, taps = shape.kernelWidth;
  const channels = o.channels, all = shape.inputChannels;
  const flip = i8x16.splat(<i8>o.flip), fill = i8x16.splat(<i8>o.fill);
  const perImage = shape.outputHeight * shape.outputWidth, image = height * width * all;
  const limit = at(o.x) + <usize>(shape.batch * image);
  const size = <usize>(taps * channels);
  const rowBytes = (size * shape.kernelHeight + 3) & ~3;
  const whole = dilation == 1 && channels == all; // taps of one kernel row are neighbours in memory
  const reach = (shape.kernelHeight - 1) * shape.dilationHeight + 1, span = (taps - 1) * dilation + 1; // rows and columns of a patch
  const down = <usize>(shape.dilationHeight * width * all), across = <usize>(dilation * all);
  const runs = whole ? 1 : taps, runBytes = whole ? size : <usize>channels;
  const reads = <usize>(shape.kernelHeight - 1) * down + <usize>(taps - 1) * across + <usize>channels + 15;
  let target = at(o.columns);
  let inside = o.begin % perImage;
  let source = at(o.x) + o.channelBegin + <usize>(o.begin / perImage * image);
  if (o.direct) return copy(target, source + <usize>(inside * all), (o.end - o.begin) * all, flip, limit);
  let row = inside / shape.outputWidth, column = inside % shape.outputWidth;
  for (let pixel = o.begin; pixel < o.end; pixel++) {
    const left = column * shape.strideWidth - shape.padLeft;
    const first = min(taps, max(0, -left)), last = max(first, min(taps, width - left)); // taps that lie in the image
    let y = row * shape.strideHeight - shape.padTop;
    const top = source + <usize>((y * width + left) * all);
    // The reads of a patch that lies in the picture need no looking at, but for the last patches of x.
    const inner = left >= 0 && left <= width - span && y >= 0 && y <= height - reach && top + reads <= limit;
    let to = target;
    for (let ky = inner ? shape.kernelHeight : 0, row = top; ky > 0; ky--, row += down) {
      for (let run = runs, from = row; run > 0; run--, from += across) {
        for (let i: usize = 0; i < runBytes; i += 16) v128.store(to + i, v128.xor(v128.load(from + i), flip));
        to += runBytes;
      }
    }
    for (let ky = inner ? 0 : shape.kernelHeight; ky > 0; ky--) {
      if (<u32>y >= <u32>height) {
        pad(to, taps * channels, fill);
      } else if (whole) {
        pad(to, first * channels, fill);
        copy(to + <usize>(first * channels), source + <usize>((y * width + left + first) * all), (last - first) * channels, flip, limit);
        pad(to + <usize>(last * channels), (taps - last) * channels, fill);
      } else {
        for (let kx = 0; kx < taps; kx++) {
          const place = left + kx * dilation;
          const tap = to + <usize>(kx * channels);
          if (<u32>place >= <u32>width) pad(tap, channels, fill);
          else copy(tap, source + <usize>((y * width + place) * all), channels, flip, limit);
        }
      }
      to += size;
      y += shape.dilationHeight;
    }
    target += rowBytes;
    if (++column == shape.outputWidth) {
      column = 0;
      if (++row == shape.outputHeight) {
        row = 0;
        source += image;
      }
    }
  }
}
