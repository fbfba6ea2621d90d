/**
 * Which way up a text line is. Source: PaddleOCR's TextClassifier (tools/infer/predict_cls.py): a line is turned only
 * when the classifier is sure, because turning a good one costs more than leaving a bad one.
 */
import * as z from 'zod';
import { floatsOf, outputOf, type PostInput, type PostResult, type PostStep, rounded } from './step.ts';

const options = z.strictObject({
  output: z.string().optional(),
  angles: z.array(z.number()).min(2).default([0, 180]).describe('degrees that the classes stand for'),
  scoreMin: z.number().min(0).max(1).default(0.9).describe('below this the line counts as upright'),
});

/** Result: `{ angle, score }`: the angle by which the line is turned (0 when unsure), and the likeliest class's score. */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const tensor = outputOf('angle', input, given.output);
  const scores = floatsOf(tensor);
  if (scores.length !== given.angles.length) {
    throw new Error(`angle: expected ${given.angles.length} scores, got shape [${tensor.dims.join(', ')}]`);
  }
  const score = Math.max(...scores);
  if (!Number.isFinite(score)) throw new Error(`angle: expected finite scores, got ${scores.join(', ')}`);
  const angle = score > given.scoreMin ? (given.angles[scores.indexOf(score)] as number) : 0;
  return { result: { angle, score: rounded(score) } };
}

export const angle: PostStep<typeof options> = { summary: 'the angle by which a text line is turned', options, apply };
