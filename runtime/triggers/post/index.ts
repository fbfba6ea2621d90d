/** The table of post-processing steps: a trigger names one by its key here. */
import { angle } from './angle.ts';
import { anomaly } from './anomaly.ts';
import { ctcText } from './ctc-text.ts';
import { mask } from './mask.ts';
import { raw } from './raw.ts';
import { speechSegments } from './speech-segments.ts';
import { ssdBoxes } from './ssd-boxes.ts';
import type { PostStep } from './step.ts';
import { textRegions } from './text-regions.ts';
import { topK } from './top-k.ts';
import { yoloxBoxes } from './yolox-boxes.ts';

export const postSteps: Readonly<Record<string, PostStep>> = {
  angle,
  anomaly,
  'ctc-text': ctcText,
  mask,
  raw,
  'speech-segments': speechSegments,
  'ssd-boxes': ssdBoxes,
  'text-regions': textRegions,
  'top-k': topK,
  'yolox-boxes': yoloxBoxes,
};
