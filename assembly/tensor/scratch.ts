// A little memory that only this instance uses: tails of vectors and tiles, partial sums. The loader gives each instance
// 1 KiB of its own, because instances on several cores share one memory and its static data.

export let scratch: usize = 0;

export function setScratch(pointer: usize): void {
  scratch = pointer;
}

/** Sum of the first 8 floats. */
export function sumOfScratch(): f32 {
  const four = f32x4.add(v128.load(scratch), v128.load(scratch, 16));
  const two = f32x4.add(four, v128.shuffle<i32>(four, four, 2, 3, 0, 1));
  return f32x4.extract_lane(two, 0) + f32x4.extract_lane(two, 1);
}

/** The largest of the first 8 floats, of which none is NaN. */
export function maximumOfScratch(): f32 {
  const four = f32x4.pmax(v128.load(scratch), v128.load(scratch, 16));
  const two = f32x4.pmax(four, v128.shuffle<i32>(four, four, 2, 3, 0, 1));
  return max(f32x4.extract_lane(two, 0), f32x4.extract_lane(two, 1));
}
