/** Are two answers the same? */
import type { Tensors } from './contender.ts';

/** Largest difference relative to the largest number of the reference, and the cosine, over all outputs in order. */
export function compareAnswers(own: Tensors, reference: Tensors): { error: number; cosine: number } {
  let [error, cosine] = [0, 1];
  const others = Object.values(reference);
  for (const [index, { data }] of Object.values(own).entries()) {
    const other = others[index]?.data;
    if (other?.length !== data.length) return { error: Infinity, cosine: 0 };
    let [largest, difference, dot, mine, theirs] = [0, 0, 0, 0, 0];
    for (let i = 0; i < data.length; i++) {
      const [a, b] = [Number(data[i]), Number(other[i])];
      if (Number.isNaN(a) !== Number.isNaN(b)) return { error: Infinity, cosine: 0 };
      if (Object.is(a, b)) difference = Math.max(difference, 0);
      else difference = Math.max(difference, Math.abs(a - b));
      largest = Math.max(largest, Math.abs(b));
      dot += a * b;
      mine += a * a;
      theirs += b * b;
    }
    if (difference === 0) continue;
    error = Math.max(error, difference / largest);
    cosine = Math.min(cosine, dot / Math.sqrt(mine * theirs));
  }
  return { error, cosine };
}
