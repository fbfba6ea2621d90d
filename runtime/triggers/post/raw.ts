/** The outputs as they are, as JSON: for small tensors, labels and maps, or while a trigger is being set up. */
import * as z from 'zod';
import { type EngineValue, isHostValue } from '../../engine/value.ts';
import { floatsOf, type PostInput, type PostResult, type PostStep } from './step.ts';

const options = z.strictObject({
  outputs: z.array(z.string()).min(1).optional().describe('names of the outputs to pass on; all when absent'),
  maxElements: z.int().positive().max(1_048_576).default(65_536).describe('refuse larger tensors'),
});

function apply(input: PostInput, { outputs, maxElements }: z.output<typeof options>): PostResult {
  const result: Record<string, unknown> = {};
  for (const name of outputs ?? Object.keys(input.outputs)) {
    const value = input.outputs[name];
    if (!value)
      throw new Error(`raw: the model has no output "${name}", it has ${Object.keys(input.outputs).join(', ')}`);
    const count = elementsOf(value);
    if (count > maxElements) {
      throw new Error(
        `raw: expected at most ${maxElements} elements, output "${name}" has ${count}; ` +
          'raise "maxElements" or encode the result as safetensors',
      );
    }
    result[name] = jsonOf(value);
  }
  return { result };
}

/** Elements of all tensors and maps in a value. */
function elementsOf(value: EngineValue): number {
  if (value.type === 'sequence') return value.items.reduce((sum, item) => sum + 1 + elementsOf(item), 0);
  if (value.type === 'optional') return value.value ? elementsOf(value.value) : 0;
  return value.type === 'map' ? value.entries.size : value.data.length;
}

/** A tensor as type, shape and elements; a sequence as a list, a map as an object, an empty optional as null. */
function jsonOf(value: EngineValue): unknown {
  if (value.type === 'sequence') return value.items.map(jsonOf);
  if (value.type === 'optional') return value.value ? jsonOf(value.value) : null;
  if (value.type === 'map')
    return Object.fromEntries([...value.entries].map(([key, entry]) => [`${key}`, finite(entry)]));
  const data = isHostValue(value) ? [...value.data] : Array.from(floatsOf(value), finite);
  return { type: value.type, dims: [...value.dims], data };
}

/** JSON has neither NaN nor infinities; null is what JSON.stringify would make of them. */
function finite(value: number | string): number | string | null {
  return typeof value === 'string' || Number.isFinite(value) ? value : null;
}

export const raw: PostStep<typeof options> = { summary: 'the model outputs as numbers and texts', options, apply };
