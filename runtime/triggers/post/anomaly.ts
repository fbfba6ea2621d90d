/**
 * How badly an autoencoder reproduces its input: mean squared error against a threshold. Source: MLPerf Tiny, anomaly
 * detection (Banbury et al., 2021), which scores machine sounds by it (DCASE 2020, task 2).
 */
import * as z from 'zod';
import { floatsOf, outputOf, type PostInput, type PostResult, type PostStep, rounded } from './step.ts';

const options = z.strictObject({
  output: z.string().optional(),
  input: z.string().optional().describe('the input that the output should reproduce; the only one when absent'),
  threshold: z.number().describe('an anomaly above this score; of z when mean and std are given'),
  baseline: z
    .strictObject({ mean: z.number(), std: z.number().positive() })
    .optional()
    .describe("mean and standard deviation of the healthy machine's score: compare z = (score - mean) / std instead"),
});

/** Result: `{ score, z, anomaly }`; z is null without a baseline. */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const output = outputOf('anomaly', input, given.output);
  const names = Object.keys(input.inputs ?? {});
  const name = given.input ?? (names.length === 1 ? names[0] : undefined);
  const original = name === undefined ? undefined : input.inputs?.[name];
  if (!original) throw new Error(`anomaly: expected option "input" to name one of ${names.join(', ') || 'no inputs'}`);
  if (original.data.length !== output.data.length || output.data.length === 0) {
    const shapes = `[${original.dims.join(', ')}] and [${output.dims.join(', ')}]`;
    throw new Error(`anomaly: expected an output of the input's size, got ${shapes}`);
  }
  const score = meanSquaredError(floatsOf(original), floatsOf(output));
  if (!Number.isFinite(score)) throw new Error(`anomaly: expected a finite error, got ${score}`);
  const z = given.baseline ? (score - given.baseline.mean) / given.baseline.std : null;
  const result = { score: rounded(score), z: z === null ? null : rounded(z), anomaly: (z ?? score) > given.threshold };
  return { result };
}

function meanSquaredError(a: Float32Array, b: Float32Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += ((a[i] as number) - (b[i] as number)) ** 2;
  return sum / a.length;
}

export const anomaly: PostStep<typeof options> = {
  summary: 'reconstruction error against a threshold',
  options,
  apply,
};
