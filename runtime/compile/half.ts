/** The 16-bit floats, which are kept as words: what they stand for, and the word nearest to a number. */

export type HalfType = 'float16' | 'bfloat16';

export function isHalf(type: string): type is HalfType {
  return type === 'float16' || type === 'bfloat16';
}

const half = new Float16Array(1);
const halfWord = new Uint16Array(half.buffer);
const single = new Float32Array(1);
const singleWord = new Uint32Array(single.buffer);

export function fromHalf(type: HalfType, word: number): number {
  if (type === 'float16') {
    halfWord[0] = word;
    return half[0] as number;
  }
  // bfloat16 is the upper half of a float32.
  singleWord[0] = word << 16;
  return single[0] as number;
}

/** Rounds to nearest, ties to even. */
export function toHalf(type: HalfType, value: number): number {
  if (type === 'float16') {
    half[0] = value;
    return halfWord[0] as number;
  }
  if (Number.isNaN(value)) return 0x7fc0;
  single[0] = value;
  const word = singleWord[0] as number;
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}
