/**
 * Sliding windows over a stream that arrives in pieces of any length. Pure: `slide` takes a stream's state and new
 * samples and returns the windows that are now complete, with the next state.
 */
import type { Tensor, TypedArray } from '../engine/tensor.ts';

export interface WindowShape {
  /** New samples in a window. */
  readonly length: number;
  /** Samples from one window's start to the next, at most `length`. */
  readonly hop: number;
  /** Samples before the window, zeros at the stream's start. */
  readonly context: number;
}

export interface WindowState {
  /** What later windows still need, beginning with the next window's context. */
  readonly tail: TypedArray;
  /** Position of the next window's first new sample in the stream. */
  readonly start: number;
  /** Numbers in one sample: 1, or the channels of `[samples, channels]`. */
  readonly channels: number;
}

export interface Window {
  readonly start: number;
  /** `[context + length]`, or `[context + length, channels]`; windows share memory, so nobody may write to it. */
  readonly tensor: Tensor;
}

/** Most windows that one message may complete: each is a run of the models. */
const WINDOWS_MAX = 10_000;
/** Most numbers in one window, its context included: about what a stream may keep. */
const WINDOW_NUMBERS_MAX = 4_194_304;

/**
 * `state` is undefined at the stream's start. `samples` is `[n]` or `[n, channels]`.
 * Throws an Error when the piece has another number of channels or another type than the stream before it.
 */
export function slide(
  shape: WindowShape,
  state: WindowState | undefined,
  samples: Tensor,
): { windows: Window[]; state: WindowState } {
  if (samples.dims.length < 1 || samples.dims.length > 2) {
    throw new Error(`window: expected samples [n] or [n, channels], got shape [${samples.dims.join(', ')}]`);
  }
  const channels = samples.dims[1] ?? 1;
  if (channels === 0) throw new Error('window: expected at least one channel, got none');
  if (state && (channels !== state.channels || samples.data.constructor !== state.tail.constructor)) {
    throw new Error(`window: expected ${state.channels} channels as before in this stream, got ${channels}`);
  }
  const span = (shape.context + shape.length) * channels;
  if (span > WINDOW_NUMBERS_MAX) {
    throw new Error(`window: expected at most ${WINDOW_NUMBERS_MAX} numbers in a window, got ${channels} channels`);
  }
  const hop = shape.hop * channels;
  const before = state?.tail.length ?? shape.context * channels;
  const total = before + samples.data.length;
  if ((total - span) / hop >= WINDOWS_MAX) {
    throw new Error(`window: expected at most ${WINDOWS_MAX} windows in a message, got ${samples.dims[0]} samples`);
  }
  const Kind = samples.data.constructor as new (length: number) => TypedArray;
  const joined = new Kind(total);
  if (state) set(joined, state.tail, 0);
  set(joined, samples.data, before);

  const windows: Window[] = [];
  let offset = 0;
  let start = state?.start ?? 0;
  for (; offset + span <= total; offset += hop) {
    const dims = samples.dims.length === 1 ? [shape.context + shape.length] : [shape.context + shape.length, channels];
    windows.push({ start, tensor: { type: samples.type, dims, data: joined.subarray(offset, offset + span) } });
    start += shape.hop;
  }
  return { windows, state: { tail: joined.slice(offset), start, channels } };
}

/** Both are of the same kind; the compiler cannot see that numbers never meet big integers. */
function set(target: TypedArray, source: TypedArray, offset: number): void {
  (target as Float32Array).set(source as Float32Array, offset);
}
