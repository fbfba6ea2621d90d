/** The table of post-processing steps: a trigger names one by its key here. */
import { raw } from './raw.ts';
import type { PostStep } from './step.ts';
import { topK } from './top-k.ts';

export const postSteps: Readonly<Record<string, PostStep>> = {
  'top-k': topK,
  raw,
};
