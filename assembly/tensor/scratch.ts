// A little memory that only this instance uses: tails of vectors and tiles, partial sums. The loader gives each instance its own,
// because instances on several cores share one memory and its static data.

export const SCRATCH_BYTES: i32 = 1024;

export let scratch: usize = 0;

export function setScratch(pointer: usize): void {
  scratch = pointer;
}
