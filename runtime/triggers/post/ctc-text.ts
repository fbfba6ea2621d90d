/**
 * Text from a recogniser trained with connectionist temporal classification, by best path: the likeliest class at each
 * step, repetitions merged, blanks removed. Source: Graves et al., "Connectionist Temporal Classification" (2006),
 * section 3.2; confidence as in PaddleOCR's CTCLabelDecode (ppocr/postprocess/rec_postprocess.py).
 */
import * as z from 'zod';
import { floatsOf, itemDims, outputOf, type PostInput, type PostResult, type PostStep, rounded } from './step.ts';

const options = z.strictObject({
  output: z.string().optional(),
  labels: z.array(z.string()).optional().describe('the characters in class order, without the blank'),
  blank: z.int().min(0).default(0).describe('the class that stands for "no character"'),
});

/**
 * Result: `{ text, confidence }`, confidence being the mean probability of the characters kept, 0 without any.
 * PaddleOCR's dictionaries leave out the space, which is the last class: one class more than characters means that.
 */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const tensor = outputOf('ctc-text', input, given.output);
  const [steps, classes] = itemDims('ctc-text', tensor, 2) as [number, number];
  const listed = given.labels ?? input.labels;
  if (!listed) throw new Error('ctc-text: expected the list of characters as option "labels" or with the model');
  const labels = listed.length === classes - 2 ? [...listed, ' '] : listed;
  if (labels.length !== classes - 1) {
    throw new Error(`ctc-text: expected ${classes - 1} characters for ${classes} classes, got ${listed.length}`);
  }
  const data = floatsOf(tensor);
  let text = '';
  let sum = 0;
  let kept = 0;
  let previous = -1;
  for (let step = 0; step < steps; step++) {
    const best = likeliest(data, step * classes, classes);
    if (best !== given.blank && best !== previous) {
      text += labels[best > given.blank ? best - 1 : best];
      sum += data[step * classes + best] as number;
      kept++;
    }
    previous = best;
  }
  if (!Number.isFinite(sum)) throw new Error(`ctc-text: expected probabilities, got values that add up to ${sum}`);
  return { result: { text, confidence: kept ? rounded(sum / kept) : 0 } };
}

function likeliest(data: Float32Array, start: number, classes: number): number {
  let best = start;
  for (let i = start + 1; i < start + classes; i++) if ((data[i] as number) > (data[best] as number)) best = i;
  return best - start;
}

export const ctcText: PostStep<typeof options> = { summary: 'the text a recogniser reads', options, apply };
