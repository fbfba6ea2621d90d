/**
 * Speech segments from a voice activity detector's probabilities, one window a message, with hysteresis.
 * Source: snakers4/silero-vad, VADIterator in src/silero_vad/utils_vad.py; the shortest segment follows its
 * get_speech_timestamps.
 */
import * as z from 'zod';
import { floatsOf, outputOf, type PostInput, type PostResult, type PostStep, rounded } from './step.ts';

const options = z.strictObject({
  output: z.string().default('output'),
  threshold: z.number().min(0).max(1).default(0.5).describe('speech begins at this probability'),
  hysteresis: z.number().min(0).max(1).default(0.15).describe('speech ends this far below the threshold'),
  silenceMsMin: z.number().min(0).default(100).describe('shorter pauses do not end a segment'),
  speechMsMin: z.number().min(0).default(0).describe('shorter segments are not reported'),
  padMs: z.number().min(0).default(30).describe('added before and after each segment'),
});

/** Positions are samples since the stream's start. Plain data, so that it can be kept and sent. */
interface SpeechState {
  /** Where the next window must begin to continue this stream. */
  readonly next: number;
  /** Start of the open segment, padding not applied. */
  readonly start: number | null;
  /** Since when the open segment has been quiet. */
  readonly quietSince: number | null;
  /** Whether the open segment has lasted long enough to be reported. */
  readonly announced: boolean;
}

interface Segment {
  readonly start: number;
  readonly end: number;
  readonly duration: number;
}

export interface SpeechResult {
  readonly probability: number;
  readonly speaking: boolean;
  /** Second at which a segment began, in the window that makes it known; else null. */
  readonly started: number | null;
  /** The segment that ended, in seconds, in the window that makes it known; else null. */
  readonly segment: Segment | null;
}

const silent = { start: null, quietSince: null, announced: false } as const;

/**
 * A window that does not continue the last one closes what is open and starts anew: the stream was restarted, or a
 * message was lost.
 */
function apply(input: PostInput, given: z.output<typeof options>): PostResult {
  const { window } = input;
  if (!window) throw new Error('speech-segments: expected a model fed by a sliding window over a stream of samples');
  const probability = floatsOf(outputOf('speech-segments', input, given.output))[0];
  if (probability === undefined || !(probability >= 0 && probability <= 1)) {
    throw new Error(`speech-segments: expected a probability from 0 to 1, got ${probability}`);
  }
  const before = input.state as SpeechState | undefined;
  const end = window.start + window.length;
  const jumped = before !== undefined && before.next !== window.start;
  const cut = jumped && before.announced ? segmentOf(before, before.next, window.rate, given) : null;
  const state: SpeechState = before && !jumped ? before : { ...silent, next: window.start };
  const moved = advance(state, probability, window.start, end, window.rate, given);
  const { start, announced } = moved.state;
  const result: SpeechResult = {
    probability: rounded(probability),
    speaking: announced,
    started:
      announced && !state.announced ? rounded(Math.max(0, (start as number) / window.rate - given.padMs / 1000)) : null,
    segment: moved.segment ?? cut,
  };
  return { result, state: moved.state };
}

function advance(
  state: SpeechState,
  probability: number,
  windowStart: number,
  next: number,
  rate: number,
  given: z.output<typeof options>,
): { state: SpeechState; segment: Segment | null } {
  const speech = probability >= given.threshold;
  const quiet = probability < given.threshold - given.hysteresis;
  if (state.start === null && !speech) return { state: { ...silent, next }, segment: null };
  const start = state.start ?? windowStart;
  // Between the two thresholds nothing changes: neither does a pause begin, nor does one that began end.
  const quietSince = speech ? null : (state.quietSince ?? (quiet ? windowStart : null));
  const spoken = ((quietSince ?? next) - start) / rate;
  const announced = state.announced || spoken * 1000 >= given.speechMsMin;
  const open = { next, start, quietSince, announced };
  // The pause is counted from the end of its first window, as VADIterator does, and ends speech in a quiet window only.
  const pauseMs = quietSince === null ? 0 : ((windowStart - quietSince) / rate) * 1000;
  if (!quiet || pauseMs < given.silenceMsMin) return { state: open, segment: null };
  const segment = announced ? segmentOf(open, quietSince as number, rate, given) : null;
  return { state: { ...silent, next }, segment };
}

function segmentOf(state: SpeechState, end: number, rate: number, { padMs }: z.output<typeof options>): Segment {
  const from = Math.max(0, (state.start as number) / rate - padMs / 1000);
  const to = (state.quietSince ?? end) / rate + padMs / 1000;
  return { start: rounded(from), end: rounded(to), duration: rounded(to - from) };
}

export const speechSegments: PostStep<typeof options> = {
  summary: 'when somebody speaks, from probabilities window by window',
  options,
  apply,
};
