import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { slide, type Window, type WindowShape, type WindowState } from '../../../runtime/triggers/window.ts';
import { randomFrom } from '../../random.ts';

function samples(values: readonly number[], channels = 1): Tensor {
  const dims = channels === 1 ? [values.length] : [values.length / channels, channels];
  return { type: 'float32', dims, data: Float32Array.from(values) };
}

/** The definition: window k covers the samples from k · hop on, with `context` samples before, zeros before the first. */
function naiveWindows({ length, hop, context }: WindowShape, stream: readonly number[], channels: number): number[][] {
  const padded = [...Array<number>(context * channels).fill(0), ...stream];
  const windows: number[][] = [];
  for (let k = 0; (k * hop + context + length) * channels <= padded.length; k++) {
    windows.push(padded.slice(k * hop * channels, (k * hop + context + length) * channels));
  }
  return windows;
}

test('windows are the same however the stream is cut into pieces', () => {
  const seed = 20261123;
  const random = randomFrom(seed);
  let seen = 0;
  for (let round = 0; round < 300; round++) {
    const length = 1 + random(40);
    const shape = { length, hop: 1 + random(length), context: random(12) };
    const channels = 1 + random(3);
    const stream = Array.from({ length: channels * random(400) }, () => random(1000) + 1);
    const found: Window[] = [];
    let state: WindowState | undefined;
    for (let at = 0; at < stream.length; ) {
      const next = Math.min(stream.length, at + channels * random(90));
      const slid = slide(shape, state, samples(stream.slice(at, next), channels));
      state = slid.state;
      found.push(...slid.windows);
      at = next;
      assert.ok(state.tail.length < (shape.context + length) * channels, `seed ${seed}: what is kept is bounded`);
    }
    const expected = naiveWindows(shape, stream, channels);
    assert.is(found.length, expected.length, `seed ${seed}, round ${round}`);
    for (const [k, window] of found.entries()) {
      assert.equal([...(window.tensor.data as Float32Array)], expected[k], `seed ${seed}, round ${round}, window ${k}`);
      assert.is(window.start, k * shape.hop);
      seen++;
    }
  }
  assert.ok(seen > 2000, `saw only ${seen} windows`);
});

test('a stream that changes its channels is refused', () => {
  const shape = { length: 4, hop: 4, context: 0 };
  const { state } = slide(shape, undefined, samples([1, 2, 3, 4], 2));
  assert.throws(
    () => slide(shape, state, samples([1, 2, 3], 3)),
    /expected 2 channels as before in this stream, got 3/,
  );
});

test('a sender cannot make windows huge by sending many channels', () => {
  const wide: Tensor = { type: 'float32', dims: [1, 1_000_000], data: new Float32Array(1_000_000) };
  assert.throws(
    () => slide({ length: 512, hop: 512, context: 64 }, undefined, wide),
    /expected at most 4194304 numbers in a window, got 1000000 channels/,
  );
});

test('a message that completes too many windows is refused', () => {
  const shape = { length: 100, hop: 1, context: 0 };
  const tensor: Tensor = { type: 'float32', dims: [1_000_000], data: new Float32Array(1_000_000) };
  assert.throws(
    () => slide(shape, undefined, tensor),
    /expected at most 10000 windows in a message, got 1000000 samples/,
  );
});

test.run();
