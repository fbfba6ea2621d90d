// im2col (patches.ts) of 8-bit pictures: bytes become int16 without their zero point as they are gathered, so padding is 0. Vectors
// write up to 14 bytes beyond the end of a run: the next run lies there, or the slack behind the last row.
import { INT8 } from '../opcodes.ts';
import { ConvShape, QuantizedGather, at } from '../operands.ts';

/** `count` elements; up to 7 more are read when they lie before `limit`. One vector at a time: V8 13.6 fuses pairs of load8x8 wrongly. */
// @ts-ignore: decorator
@inline
function widen<T>(target: usize, source: usize, count: i32, zero: v128, limit: usize): void {
  for (; count > 0 && source + 8 <= limit; count -= 8) {
    v128.store(target, i16x8.sub(isSigned<T>() ? v128.load8x8_s(source) : v128.load8x8_u(source), zero));
    target += 16;
    source += 8;
  }
  for (; count > 0; count--) {
    store<i16>(target, <i16>load<T>(source) - <i16>i16x8.extract_lane_s(zero, 0));
    target += 2;
    source++;
  }
}

// @ts-ignore: decorator
@inline
function clear(target: usize, count: i32): void {
  for (; count > 0; count -= 8) {
    v128.store(target, i16x8.splat(0));
    target += 16;
  }
}

/** Rows are [kernelHeight][kernelWidth][channels], and one element more where that makes them even; packed weights are 0 there. */
// @ts-ignore: decorator
@inline
function gather<T>(shape: ConvShape, o: QuantizedGather): void {
  const height = shape.inputHeight, width = shape.inputWidth, dilation = shape.dilationWidth, taps = shape.kernelWidth;
  const channels = o.channels, all = shape.inputChannels, zero = v128.load_splat<i16>(changetype<usize>(o) + offsetof<QuantizedGather>('zero'));
  const perImage = shape.outputHeight * shape.outputWidth, image = height * width * all;
  const limit = at(o.x) + <usize>(shape.batch * image);
  const x = at(o.x) + o.channelBegin;
  const size = <usize>(taps * channels) << 1;
  const rowBytes = (size * shape.kernelHeight + 2) & ~3;
  let target = at(o.columns);
  if (o.direct) return widen<T>(target, x + <usize>(o.begin * channels), (o.end - o.begin) * channels, zero, limit);
  const whole = dilation == 1 && channels == all; // taps of one kernel row are neighbours in memory
  let inside = o.begin % perImage;
  let source = x + <usize>(o.begin / perImage * image);
  let row = inside / shape.outputWidth, column = inside % shape.outputWidth;
  for (let pixel = o.begin; pixel < o.end; pixel++) {
    const left = column * shape.strideWidth - shape.padLeft;
    const first = min(taps, max(0, -left)), last = max(first, min(taps, width - left)); // taps that lie in the image
    let y = row * shape.strideHeight - shape.padTop;
    let to = target;
    for (let ky = shape.kernelHeight; ky > 0; ky--) {
      if (<u32>y >= <u32>height) {
        clear(to, taps * channels);
      } else if (whole && last - first == taps) {
        widen<T>(to, source + <usize>((y * width + left) * all), taps * channels, zero, limit);
      } else if (whole) {
        clear(to, first * channels);
        widen<T>(to + (<usize>(first * channels) << 1), source + <usize>((y * width + left + first) * all), (last - first) * channels, zero, limit);
        clear(to + (<usize>(last * channels) << 1), (taps - last) * channels);
      } else {
        for (let kx = 0; kx < taps; kx++) {
          const place = left + kx * dilation;
          const tap = to + (<usize>(kx * channels) << 1);
          if (<u32>place >= <u32>width) clear(tap, channels);
          else widen<T>(tap, source + <usize>((y * width + place) * all), channels, zero, limit);
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

/** Output pixels [begin, end) → rows of int16. `direct`: rows are the pixels of x, one behind the other. */
export function gatherQuantized(shape: ConvShape, o: QuantizedGather): void {
  if (o.kind == INT8) gather<i8>(shape, o);
  else gather<u8>(shape, o);
}
