/** Model outputs made by hand, for the tests of this folder. */
import type { Tensor } from '../../../../runtime/engine/tensor.ts';
import type { Placement } from '../../../../runtime/media/resize.ts';
import { postSteps } from '../../../../runtime/triggers/post/index.ts';
import type { PostInput, PostResult } from '../../../../runtime/triggers/post/step.ts';

export function tensor(dims: number[], values: ArrayLike<number>): Tensor {
  return { type: 'float32', dims, data: Float32Array.from(values) };
}

/** A model input that is the source picture itself. */
export function asIs(width: number, height: number): Placement {
  return { sourceWidth: width, sourceHeight: height, width, height, scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 };
}

/** Runs a step of the table the way a trigger does: options as written, defaults filled in by the step's schema. */
export function run(step: string, input: PostInput, options: unknown = {}): PostResult {
  const found = postSteps[step];
  if (!found) throw new Error(`no step ${step}`);
  return found.apply(input, found.options.parse(options));
}

/** The result of a step that remembers nothing, after a trip through JSON, which must not change it. */
export function resultOf<Result>(step: string, input: PostInput, options: unknown = {}): Result {
  const { result, state } = run(step, input, options);
  if (state !== undefined) throw new Error(`${step} keeps state`);
  const sent = JSON.stringify(result);
  if (JSON.stringify(JSON.parse(sent)) !== sent) throw new Error(`${step}: JSON changes ${sent}`);
  return JSON.parse(sent) as Result;
}
