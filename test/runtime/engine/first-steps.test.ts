import { setImmediate } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Assembler } from '../../../runtime/compile/assembler.ts';
import { Core } from '../../../runtime/engine/core.ts';
import { CoreBlock } from '../../../runtime/engine/core-block.ts';
import type { Segment } from '../../../runtime/engine/core-messages.ts';
import { FirstSteps } from '../../../runtime/engine/first-steps.ts';
import { loadKernels, moduleOf, twinOf } from '../../../runtime/engine/kernels.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';

const COUNT = 64;
const DONE = -1;

/** A program that adds 1 to `COUNT` numbers `steps` times, a core whose thread is ready when `open` is called, and the first steps. */
function setup(steps: number, isOptimized = false) {
  const memory = new EngineMemory(64 << 20);
  const kernels = loadKernels(memory.memory, { build: 'plain', module: twinOf('plain') });
  memory.reserve(kernels.heapBase);
  const module = moduleOf('plain') as WebAssembly.Module;
  const blocks = CoreBlock.allocate(memory, 1);
  const core = new Core({ memory: memory.memory, build: 'plain', module, blocks, index: 0 });
  const ready = Promise.withResolvers<void>();
  const handedOver: number[] = [];
  const starts: number[] = [];
  const late: Pick<Core, 'start' | 'execute' | 'isReady' | 'hasThread' | 'block'> = {
    hasThread: true,
    block: core.block,
    isReady: false,
    start() {
      starts.push(performance.now());
      return ready.promise;
    },
    execute(segment) {
      handedOver.push(segment.pc);
      return core.execute(segment);
    },
  };
  const assembler = new Assembler({ panel: 8 });
  for (let i = 0; i < steps; i++) assembler.unary('scale', 0, 0, COUNT, 1, 1);
  const program = assembler.finish().words;
  const [words, arena] = [memory.allocate(program.byteLength, 'words'), memory.allocate(COUNT * 4, 'arena')];
  const { buffer } = memory.memory;
  new Uint32Array(buffer, words, program.length).set(program);
  new Uint32Array(buffer, core.block.bases, 3).fill(arena);
  const flag = new Int32Array(buffer, core.block.flag, 1);
  const values = new Float32Array(buffer, arena, COUNT).fill(0);
  const segment: Segment = { words, pc: 0, bases: core.block.bases, flag: core.block.flag };
  const first = new FirstSteps(late, kernels, memory, { isOptimized });
  return { core, first, segment, flag, values, ready, handedOver, starts };
}

const all = (values: Float32Array, wanted: number): boolean => values.every((value) => value === wanted);

test('a program is done before the thread is there, and events get through meanwhile', async () => {
  const steps = 200_000;
  const { core, first, segment, values, handedOver } = setup(steps);
  let events = 0;
  const stop = first.execute(segment).then((result) => ({ result, events }));
  for (let i = 0; i < 5; i++, events++) await setImmediate();
  const { result, events: before } = await stop;
  assert.is(result.result, DONE);
  assert.ok(result.endedMs >= result.startedMs);
  assert.ok(all(values, steps));
  assert.ok(before > 0, 'it computed without a pause');
  assert.equal(handedOver, []);
  await core.close();
});

test('a program that is under way goes on in the thread when that is ready; the next one begins there', async () => {
  const steps = 400_000;
  const { core, first, segment, values, ready, handedOver } = setup(steps);
  const running = first.execute(segment);
  await setImmediate();
  ready.resolve();
  assert.is((await running).result, DONE);
  assert.ok(all(values, steps));
  assert.is(handedOver.length, 1);
  assert.ok((handedOver[0] as number) > 0);
  assert.is((await first.execute(segment)).result, DONE);
  assert.ok(all(values, 2 * steps));
  assert.is(handedOver[1], 0);
  await core.close();
});

test('a program that is suspended stops where it is, and can be resumed', async () => {
  const steps = 400_000;
  const { core, first, segment, flag, values } = setup(steps);
  const running = first.execute(segment);
  await setImmediate();
  flag[0] = 1;
  const { result } = await running;
  assert.ok(result > 0, `${result}`);
  flag[0] = 0;
  assert.is((await first.execute({ ...segment, pc: result })).result, DONE);
  assert.ok(all(values, steps));
  await core.close();
});

test('when the thread cannot start, the core is asked, which says why', async () => {
  const { core, first, segment, ready, handedOver } = setup(400_000);
  const running = first.execute(segment);
  ready.reject(new Error('no threads left'));
  assert.is((await running).result, DONE);
  assert.is(handedOver.length, 1);
  await core.close();
});

test('with optimised code the thread starts when much has been computed without it, and not for a short run', async () => {
  const short = setup(1, true);
  assert.is((await short.first.execute(short.segment)).result, DONE);
  assert.equal(short.starts, []);
  const long = setup(1, true);
  while (long.starts.length === 0) await long.first.execute(long.segment);
  await long.first.execute(long.segment);
  assert.is(long.starts.length, 1);
  assert.equal(long.handedOver, [], 'it is not ready yet');
  long.ready.resolve();
  await setImmediate();
  await long.first.execute(long.segment);
  assert.equal(long.handedOver, [0]);
  await Promise.all([short.core.close(), long.core.close()]);
});

test('a trap ends the run, not the process', async () => {
  const { core, first, segment } = setup(1);
  const { result, trap } = await first.execute({ ...segment, words: 0x7fff0000 });
  assert.ok(result < DONE);
  assert.match(String(trap), /memory access out of bounds/);
  await core.close();
});

test.run();
