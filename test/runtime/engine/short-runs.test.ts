import { setImmediate } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Assembler } from '../../../runtime/compile/assembler.ts';
import { address, SPACE_ARENA } from '../../../runtime/compile/instructions.ts';
import type { Core } from '../../../runtime/engine/core.ts';
import { CoreBlock } from '../../../runtime/engine/core-block.ts';
import { nowMs, type Segment, type Stop } from '../../../runtime/engine/core-messages.ts';
import { Dispatcher } from '../../../runtime/engine/dispatcher.ts';
import { loadKernels, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { LoadedProgram } from '../../../runtime/engine/loaded-program.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import { NextRun } from '../../../runtime/engine/next-run.ts';
import { ShortChoice, ShortRuns } from '../../../runtime/engine/short-runs.ts';
import { assertClose, chain, rejects, x } from './chain.ts';

prepareV8();

/** A core that notes where it is asked to begin, and computes on this thread after a turn of events. */
function setup() {
  const memory = new EngineMemory(32 << 20);
  const kernels = loadKernels(memory.memory, { build: 'plain' });
  memory.reserve(kernels.heapBase);
  const blocks = CoreBlock.allocate(memory, 1);
  const given: number[] = [];
  const core = {
    isReady: true as boolean,
    hasThread: true,
    block: new CoreBlock(memory.memory, blocks, 0),
    next: new NextRun(memory.memory, blocks),
    async execute({ words, pc, bases, flag }: Segment): Promise<Stop> {
      given.push(pc);
      await setImmediate();
      const startedMs = nowMs();
      const result = kernels.execute(words, pc, bases, flag);
      return { result, faultWord: kernels.faultWord(), startedMs, endedMs: startedMs + 0.001 };
    },
  } satisfies Pick<Core, 'execute' | 'isReady' | 'hasThread' | 'block' | 'next'>;
  const processors = { first: core, cores: [core as unknown as Core] };
  const dispatcher = new Dispatcher(processors, { short: new ShortRuns(core, kernels, memory) });
  return { memory, core, given, dispatcher, weights: new MemoryWeights(memory, 'm', 1 << 16) };
}

test('the second run of a short program is computed at once, also while a long one has the core', async () => {
  const { memory, given, dispatcher, weights } = setup();
  const program = chain(weights, memory, 3);
  assertClose(await dispatcher.run('m', program, { x }, {}), 3);
  assert.is(given.length, 1);
  const long = dispatcher.run('m', chain(weights, memory, 1000), { x }, {});
  const before = memory.usedBytes;
  let events = 0;
  const turn = setImmediate().then(() => events++);
  const result = await dispatcher.run('m', program, { x }, {});
  assertClose(result, 3);
  assert.is(events, 0);
  assert.is(result.queueMs, 0);
  assert.ok(result.runMs > 0);
  assert.is(memory.usedBytes, before);
  assert.is(given.length, 2);
  assertClose(await long, 1000);
  await turn;
});

test('before the thread is ready nothing is computed on the calling one', async () => {
  const { memory, core, given, dispatcher, weights } = setup();
  core.isReady = false;
  const program = chain(weights, memory, 3);
  for (let i = 0; i < 3; i++) assertClose(await dispatcher.run('m', program, { x }, {}), 3);
  assert.is(given.length, 3);
});

test('who asks for one short run after the other leaves room for events', async () => {
  const { memory, given, dispatcher, weights } = setup();
  const program = chain(weights, memory, 3);
  await dispatcher.run('m', program, { x }, {});
  let isOver = false;
  setImmediate().then(() => {
    isOver = true;
  });
  // Without room for events this would never end.
  while (!isOver) await dispatcher.run('m', program, { x }, {});
  assert.ok(given.length >= 2);
});

test('a run whose time depends on its data and is longer than before goes on in the thread, with the same bits, and can be cancelled there', async () => {
  const { memory, given, dispatcher, weights } = setup();
  const steps = 20_000;
  const program = chain(weights, memory, steps);
  (program as { isEven: boolean }).isEven = false;
  const undisturbed = await dispatcher.run('m', program, { x }, {});
  program.short.note(0);
  const before = memory.usedBytes;
  const result = await dispatcher.run('m', program, { x }, {});
  assert.ok((given[1] as number) > 0);
  assertClose(result, steps);
  assert.equal(result.outputs, undisturbed.outputs);
  assert.ok(result.runMs > 1);

  program.short.note(0);
  const abort = new AbortController();
  const cancelled = rejects(dispatcher.run('m', program, { x }, { signal: abort.signal }), /changed my mind/);
  abort.abort(new Error('changed my mind'));
  await cancelled;
  assert.is(memory.usedBytes, before);
});

test('where no time depends on the data a run is computed as a whole', async () => {
  const { memory, given, dispatcher, weights } = setup();
  const program = chain(weights, memory, 20_000);
  assert.ok(program.isEven);
  await dispatcher.run('m', program, { x }, {});
  program.short.note(0);
  const result = await dispatcher.run('m', program, { x }, {});
  assertClose(result, 20_000);
  assert.is(given.length, 1);
});

test('a fault and a trap end their run with the node, give its memory back and harm no other', async () => {
  const { memory, dispatcher, weights } = setup();
  const good = chain(weights, memory, 3);
  const broken = chain(weights, memory, 3);
  const third = broken.program.origins[2]?.word as number;
  new Uint32Array(memory.memory.buffer, broken.words + third * 4, 1)[0] = 0x2fe;
  const assembler = new Assembler({ panel: 8 });
  assembler.unary('relu', address(SPACE_ARENA, 0x3fffff00), address(SPACE_ARENA, 0), 64);
  const wild = new LoadedProgram({ ...good.program, ...assembler.finish() }, weights, memory, 'm');
  const before = memory.usedBytes;
  for (const program of [good, broken, wild]) program.short.note(0);
  await rejects(dispatcher.run('m', broken, { x }, {}), /model "m", node "step 2": .* the kernels report fault 0/);
  await rejects(dispatcher.run('m', wild, { x }, {}), /model "m".*: the run cannot go on: memory access out of bounds/);
  assertClose(await dispatcher.run('m', good, { x }, {}), 3);
  assert.is(memory.usedBytes, before);
});

test('one long run does not make a short program long, and what lies at the border stays what it was', () => {
  const choice = new ShortChoice();
  assert.not(choice.isShort);
  const after = (...times: number[]): boolean[] =>
    times.map((ms) => {
      choice.note(ms);
      return choice.isShort;
    });
  assert.equal(after(0.22, 0.35, 0.22, 0.35), [false, false, false, false]);
  assert.equal(after(0.1), [true]);
  // By turns on either side of 0.2 ms, as the calling thread and the core's take it.
  assert.equal(after(0.22, 0.35, 0.22, 0.35, 0.22), [true, true, true, true, true]);
  assert.equal(after(0.1, 0.6, 0.1), [true, true, true]);
  assert.equal(after(0.6, 0.6, 0.6).at(-1), false);
});

test.run();
