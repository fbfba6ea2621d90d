import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { EngineMemory, MemoryLimitError } from '../../../runtime/engine/memory.ts';
import { randomFrom } from '../../random.ts';

test('blocks never overlap, keep their content and are all given back, in a long random life', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e6);
  console.log(`memory.test.ts: seed ${seed}`);
  const next = randomFrom(seed);
  const memory = new EngineMemory(8 << 20);
  memory.reserve(1000);
  const blocks: { offset: number; bytes: number; mark: number }[] = [];
  let refused = 0;
  for (let i = 0; i < 5000; i++) {
    if (next(2) === 0 || blocks.length === 0) {
      const bytes = next(8) === 0 ? next(2 << 20) : next(3000);
      try {
        const offset = memory.allocate(bytes, 'block');
        assert.is(offset % 64, 0);
        assert.ok(offset >= 1000);
        memory.bytes(offset, bytes).fill(i % 251);
        blocks.push({ offset, bytes, mark: i % 251 });
      } catch (error) {
        assert.instance(error, MemoryLimitError);
        refused++;
      }
    } else {
      const [block] = blocks.splice(next(blocks.length), 1);
      if (!block) continue;
      assert.ok(
        memory.bytes(block.offset, block.bytes).every((byte) => byte === block.mark),
        `seed ${seed}, step ${i}`,
      );
      memory.free(block.offset);
    }
  }
  assert.ok(refused > 0);
  for (const { offset } of blocks) memory.free(offset);
  assert.is(memory.usedBytes, 0);
  assert.ok(memory.allocate(7 << 20, 'nearly all of it') >= 1000);
});

test('a block beyond the limit is refused with the figures', () => {
  const memory = new EngineMemory(2 << 20);
  memory.allocate(1 << 20, 'weights');
  assert.throws(
    () => memory.allocate(2 << 20, 'the arena of model "m"'),
    (error: Error) =>
      error instanceof MemoryLimitError &&
      /^the arena of model "m" needs 2\.1 MB: expected at most 2\.1 MB in all, of which 1\.0 MB are in use/.test(
        error.message,
      ),
  );
});

test('a block can be freed once only', () => {
  const memory = new EngineMemory(2 << 20);
  const offset = memory.allocate(10, 'block');
  memory.free(offset);
  assert.throws(() => memory.free(offset), /freed twice/);
});

test.run();
