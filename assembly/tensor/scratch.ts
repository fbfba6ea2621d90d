// A little memory that only this instance uses: tails of vectors and tiles, partial sums. The loader gives each instance
// 1 KiB of its own, because instances on several cores share one memory and its static data.

export let scratch: usize = 0;

export function setScratch(pointer: usize): void {
  scratch = pointer;
}

/** Sum of the first 8 floats. */
export function sumOfScratch(): f32 {
  let sum: f32 = 0;
  for (let lane: usize = 0; lane < 32; lane += 4) sum += load<f32>(scratch + lane);
  return sum;
}
