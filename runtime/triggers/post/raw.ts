/** The outputs as they are, as nested-free JSON: for small tensors, or while a trigger is being set up. */
import { z } from 'zod';
import { floatsOf, type PostInput, type PostResult, type PostStep } from './step.ts';

const options = z.strictObject({
  outputs: z.array(z.string()).min(1).optional().describe('names of the outputs to pass on; all when absent'),
  maxElements: z.int().positive().max(1_048_576).default(65_536).describe('refuse larger tensors'),
});

function apply(input: PostInput, { outputs, maxElements }: z.output<typeof options>): PostResult {
  const result: Record<string, unknown> = {};
  for (const name of outputs ?? Object.keys(input.outputs)) {
    const tensor = input.outputs[name];
    if (!tensor)
      throw new Error(`raw: the model has no output "${name}", it has ${Object.keys(input.outputs).join(', ')}`);
    if (tensor.data.length > maxElements) {
      throw new Error(
        `raw: expected at most ${maxElements} elements, output "${name}" has ${tensor.data.length}; ` +
          'raise "maxElements" or encode the result as safetensors',
      );
    }
    // JSON has neither NaN nor infinities; null is what JSON.stringify would make of them.
    const data = Array.from(floatsOf(tensor), (value) => (Number.isFinite(value) ? value : null));
    result[name] = { type: tensor.type, dims: [...tensor.dims], data };
  }
  return { result };
}

export const raw: PostStep<typeof options> = { summary: 'the model outputs as numbers', options, apply };
