import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';

test('weights keep their offsets and content while the region grows, and each key is made once', () => {
  const memory = new EngineMemory(16 << 20);
  const weights = new MemoryWeights(memory, 'm', 1000);
  const offsets = Array.from({ length: 100 }, (_, i) => weights.place(`w${i}`, () => new Float32Array(i * 7).fill(i)));
  assert.ok(offsets.every((offset) => offset % 64 === 0));
  assert.is(
    weights.place('w50', () => assert.unreachable('made twice') as never),
    offsets[50],
  );
  const copy = new Uint8Array(weights.byteLength);
  weights.copyTo(copy);
  for (const [i, offset] of offsets.entries()) {
    const expected = new Float32Array(i * 7).fill(i);
    assert.equal(new Float32Array(copy.buffer, offset, i * 7), expected);
    assert.equal(new Float32Array(memory.memory.buffer, weights.offset + offset, i * 7).slice(), expected);
  }
  weights.free();
  assert.is(memory.usedBytes, 0);
});

test('weights grow where they lie as long as nothing lies behind them, so that no model is ever held twice', () => {
  const memory = new EngineMemory(16 << 20);
  const weights = new MemoryWeights(memory, 'm', 100);
  const before = weights.offset;
  for (let i = 0; i < 12; i++) weights.place(`w${i}`, () => new Float32Array(2 ** 18).fill(i));
  assert.is(weights.offset, before);
  assert.ok(memory.usedBytes < 12.1 * 2 ** 20);
});

test('a region that is being computed with stays until it is released', () => {
  const memory = new EngineMemory(16 << 20);
  const weights = new MemoryWeights(memory, 'm', 100);
  weights.place('a', () => Float32Array.of(42));
  const before = weights.offset;
  memory.allocate(100, 'a neighbour');
  weights.hold();
  weights.place('b', () => new Float32Array(10_000));
  assert.is.not(weights.offset, before);
  memory.bytes(memory.allocate(100, 'other'), 100).fill(0);
  assert.is(new Float32Array(memory.memory.buffer, before, 1)[0], 42);
  const used = memory.usedBytes;
  weights.release();
  assert.ok(memory.usedBytes < used);
});

test.run();
