// Resizing images in NHWC; which source pixel belongs to which output pixel is the compiler's work.
import { Resize, at } from '../operands.ts';
import { copyFloats } from './patches.ts';
import { madd } from './simd.ts';

export function resizeNearest(o: Resize): void {
  const pixelBytes = <usize>o.xPixelStride << 2, step = <usize>o.yPixelStride << 2;
  const rows = at(o.rows), columns = at(o.columns), x = at(o.x);
  let y = at(o.y) + <usize>(o.begin * o.outputWidth) * step;
  for (let row = o.begin; row < o.end; row++) {
    const sourceRow = row / o.outputHeight * o.inputHeight + load<i32>(rows + (<usize>(row % o.outputHeight) << 2));
    const line = x + <usize>(sourceRow * o.inputWidth) * pixelBytes;
    for (let column = 0; column < o.outputWidth; column++) {
      copyFloats(y, line + <usize>load<i32>(columns + (<usize>column << 2)) * pixelBytes, o.channels);
      y += step;
    }
  }
}

export function resizeLinear(o: Resize): void {
  const pixelBytes = <usize>o.xPixelStride << 2, step = <usize>o.yPixelStride << 2;
  const rows = at(o.rows), columns = at(o.columns), x = at(o.x);
  let y = at(o.y) + <usize>(o.begin * o.outputWidth) * step;
  for (let row = o.begin; row < o.end; row++) {
    const entry = rows + (<usize>(row % o.outputHeight) << 3);
    const image = row / o.outputHeight * o.inputHeight, upper = load<i32>(entry);
    const top = x + <usize>((image + upper) * o.inputWidth) * pixelBytes;
    const bottom = x + <usize>((image + min(upper + 1, o.inputHeight - 1)) * o.inputWidth) * pixelBytes;
    const down = load<f32>(entry, 4);
    for (let column = 0; column < o.outputWidth; column++) {
      const cell = columns + (<usize>column << 3);
      const left = load<i32>(cell);
      const near = <usize>left * pixelBytes, far = <usize>min(left + 1, o.inputWidth - 1) * pixelBytes;
      blend(top + near, top + far, bottom + near, bottom + far, y, o.channels, load<f32>(cell, 4), down);
      y += step;
    }
  }
}

/** y = the four corners' mean, weighed by `right` and `down` in [0, 1]. */
// @ts-ignore: decorator
@inline
function blend(topLeft: usize, topRight: usize, bottomLeft: usize, bottomRight: usize, y: usize, count: i32, right: f32, down: f32): void {
  const a: f32 = (1 - right) * (1 - down), b: f32 = right * (1 - down), c: f32 = (1 - right) * down, d: f32 = right * down;
  const va = f32x4.splat(a), vb = f32x4.splat(b), vc = f32x4.splat(c), vd = f32x4.splat(d);
  let i: usize = 0;
  for (; count >= 8; count -= 8) {
    const t0 = madd(v128.load(topRight + i), vb, f32x4.mul(v128.load(topLeft + i), va));
    const t1 = madd(v128.load(topRight + i, 16), vb, f32x4.mul(v128.load(topLeft + i, 16), va));
    const low = madd(v128.load(bottomRight + i), vd, madd(v128.load(bottomLeft + i), vc, t0));
    const high = madd(v128.load(bottomRight + i, 16), vd, madd(v128.load(bottomLeft + i, 16), vc, t1));
    v128.store(y + i, low);
    v128.store(y + i, high, 16);
    i += 32;
  }
  for (; count > 0; count--) {
    const top = load<f32>(topRight + i) * b + load<f32>(topLeft + i) * a;
    store<f32>(y + i, load<f32>(bottomRight + i) * d + (load<f32>(bottomLeft + i) * c + top));
    i += 4;
  }
}
