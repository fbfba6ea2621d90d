/** The k best classes of a classifier. */
import * as z from 'zod';
import { elementCount } from '../../engine/tensor.ts';
import { floatsOf, labelOf, outputOf, type PostInput, type PostResult, type PostStep, rounded } from './step.ts';

const options = z.strictObject({
  output: z.string().optional(),
  k: z.int().positive().max(1000).default(5),
  softmax: z.boolean().default(false).describe('the output holds logits: turn them into probabilities first'),
  scoreMin: z.number().optional().describe('leave out classes below this score'),
  labels: z.array(z.string()).optional(),
});

/** Result: `[{ index, label, score }]`, best first; equal scores in index order. */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const tensor = outputOf('top-k', input, given.output);
  const classes = Math.max(...tensor.dims, 1);
  if (elementCount(tensor.dims) !== classes || tensor.data.length === 0) {
    throw new Error(`top-k: expected one vector of scores, got shape [${tensor.dims.join(', ')}]`);
  }
  const scores = given.softmax ? softmax(floatsOf(tensor)) : floatsOf(tensor);
  const labels = given.labels ?? input.labels;
  const order = Array.from(scores.keys()).filter((index) => Number.isFinite(scores[index]));
  order.sort((a, b) => (scores[b] as number) - (scores[a] as number) || a - b);
  const best = order
    .slice(0, given.k)
    .filter((index) => given.scoreMin === undefined || (scores[index] as number) >= given.scoreMin)
    .map((index) => ({ index, label: labelOf(labels, index), score: rounded(scores[index] as number) }));
  return { result: best };
}

/** exp(x − max) / Σ: subtracting the largest logit keeps exp from overflowing and changes nothing else. */
export function softmax(logits: Float32Array): Float32Array {
  let largest = -Infinity;
  for (const logit of logits) largest = Math.max(largest, logit);
  const exponentials = logits.map((logit) => Math.exp(logit - largest));
  let sum = 0;
  for (const value of exponentials) sum += value;
  return exponentials.map((value) => value / sum);
}

export const topK: PostStep<typeof options> = { summary: 'the k best classes, with labels', options, apply };
