import { once } from 'node:events';
import type { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Assembler } from '../../../runtime/compile/assembler.ts';
import { address, SPACE_ARENA } from '../../../runtime/compile/instructions.ts';
import { Core } from '../../../runtime/engine/core.ts';
import { CoreBlock } from '../../../runtime/engine/core-block.ts';
import { Dispatcher } from '../../../runtime/engine/dispatcher.ts';
import { loadKernels, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { LoadedProgram } from '../../../runtime/engine/loaded-program.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import type { RunResult } from '../../../runtime/engine/model.ts';
import type { TenantSpec } from '../../../runtime/schedule/events.ts';
import { assertClose, chain, chainProgram, expected, rejects, x } from './chain.ts';

prepareV8();

function setup(maxBytes = 32 << 20, tenants: readonly TenantSpec[] = []) {
  const memory = new EngineMemory(maxBytes);
  const kernels = loadKernels(memory.memory, { build: 'plain' });
  memory.reserve(kernels.heapBase);
  const blocks = CoreBlock.allocate(memory, 1);
  const core = new Core({ memory: memory.memory, build: kernels.build, module: kernels.module, blocks, index: 0 });
  const dispatcher = new Dispatcher({ first: core, cores: [core] }, { tenants });
  return { memory, core, dispatcher, weights: new MemoryWeights(memory, 'm', 1 << 16) };
}

test('a long run is set aside again and again for short ones, resumed, and gives the bits that it gives undisturbed', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const long = chain(weights, memory, 20_000);
  const short = chain(weights, memory, 3);
  const undisturbed = await dispatcher.run('long', long, { x }, {});
  assertClose(undisturbed, 20_000);
  const finished: string[] = [];
  const disturbed = dispatcher.run('long', long, { x }, {}).finally(() => finished.push('long'));
  for (let i = 0; i < 5; i++) {
    assertClose(await dispatcher.run('short', short, { x }, { priority: 'interactive' }), 3);
    finished.push('short');
  }
  const result = await disturbed;
  assert.equal(finished, ['short', 'short', 'short', 'short', 'short', 'long']);
  assert.equal(result.outputs.y?.data, undisturbed.outputs.y?.data);
  await core.close();
});

test('a more urgent run interrupts one that computes, which goes on before others of its class, to the same bits', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const long = chain(weights, memory, 20_000);
  const short = chain(weights, memory, 3);
  const undisturbed = await dispatcher.run('long', long, { x }, {});
  const finished: string[] = [];
  const run = async (name: string, program: LoadedProgram, priority: number) => {
    const result = await dispatcher.run(name, program, { x }, { priority });
    finished.push(name);
    return result;
  };
  const report = run('report', long, 3);
  const later = run('later', short, 3);
  const urgent: Promise<RunResult>[] = [];
  for (let i = 0; i < 3; i++) urgent.push(run('urgent', short, 0));
  const label = run('label', short, 2);
  for (const each of [later, ...urgent, label]) assertClose(await each, 3);
  assert.equal((await report).outputs, undisturbed.outputs);
  assert.equal(finished, ['urgent', 'urgent', 'urgent', 'label', 'report', 'later']);
  await rejects(
    dispatcher.run('m', short, { x }, { priority: 4 }),
    /refused: priority: expected one of safety, interactive, normal, background, got "4"/,
  );
  await core.close();
});

test('whoever names no tenant is "default", which may be given a quota of its own', async () => {
  const { memory, core, dispatcher, weights } = setup(undefined, [{ name: 'default', weight: 2, runsMax: 1 }]);
  const program = chain(weights, memory, 100);
  const first = dispatcher.run('m', program, { x }, {});
  await rejects(dispatcher.run('m', program, { x }, {}), /tenant "default" has 1 unfinished runs of class normal/);
  assertClose(await first, 100);
  await core.close();
});

test('two hundred runs at a time are all answered, each with its own result, in order, and leave no memory behind', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const programs = [chain(weights, memory, 1), chain(weights, memory, 4), chain(weights, memory, 11)];
  const before = memory.usedBytes;
  const order: number[] = [];
  const runs = Array.from({ length: 200 }, async (_, i) => {
    const data = (x.data as Float32Array).map((value) => value * (i + 1));
    const { outputs, queueMs, runMs } = await dispatcher.run(
      'm',
      programs[i % 3] as LoadedProgram,
      { x: { ...x, data } },
      {},
    );
    order.push(i);
    assert.ok(queueMs >= 0 && runMs > 0);
    const want = expected([1, 4, 11][i % 3] as number);
    const y = outputs.y?.data as Float32Array;
    const worst = want.reduce((max, value, at) => Math.max(max, Math.abs(value - (y[at] as number) / (i + 1))), 0);
    assert.ok(worst < 1e-4, `run ${i} is off by ${worst}`);
  });
  await Promise.all(runs);
  assert.equal(
    order,
    Array.from({ length: 200 }, (_, i) => i),
  );
  assert.is(memory.usedBytes, before);
  await core.close();
});

test('a run is cancelled while it waits, while it computes and while it is set aside', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const long = chain(weights, memory, 100_000);
  const short = chain(weights, memory, 3);
  const before = memory.usedBytes;
  const [first, second] = [new AbortController(), new AbortController()];
  const computing = dispatcher.run('m', long, { x }, { signal: first.signal });
  const waiting = dispatcher.run('m', long, { x }, { signal: second.signal });
  const last = dispatcher.run('m', short, { x }, {});
  second.abort(new Error('changed my mind'));
  await rejects(waiting, /changed my mind/);
  first.abort(new Error('too late now'));
  await rejects(computing, /too late now/);
  assertClose(await last, 3);

  const third = new AbortController();
  const aside = rejects(dispatcher.run('m', long, { x }, { signal: third.signal }), /no longer/);
  const other = dispatcher.run('m', long, { x }, { signal: third.signal });
  assertClose(await dispatcher.run('m', short, { x }, { priority: 0 }), 3);
  third.abort(new Error('no longer'));
  await Promise.all([aside, rejects(other, /no longer/)]);
  assert.is(memory.usedBytes, before);
  await core.close();
});

test('a fault ends its run with the node at fault, a trap too, and the next run is served', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const good = chain(weights, memory, 3);
  const broken = chain(weights, memory, 3);
  const third = broken.program.origins[2]?.word as number;
  // No such operation; and an operand that leads out of the memory.
  new Uint32Array(memory.memory.buffer, broken.words + third * 4, 1)[0] = 0x2fe;
  await rejects(
    dispatcher.run('m', broken, { x }, {}),
    /model "m", node "step 2": the run cannot go on: the kernels report fault 0/,
  );
  const assembler = new Assembler({ panel: 8 });
  assembler.unary('relu', address(SPACE_ARENA, 0x3fffff00), address(SPACE_ARENA, 0), 64);
  const wild = new LoadedProgram({ ...good.program, ...assembler.finish() }, weights, memory, 'm');
  await rejects(
    dispatcher.run('m', wild, { x }, {}),
    /model "m", node .*: the run cannot go on: memory access out of bounds/,
  );
  assertClose(await dispatcher.run('m', good, { x }, {}), 3);
  await core.close();
});

test('when the thread dies, its run rejects and the next one is served by a new thread', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const long = chain(weights, memory, 300_000);
  const started = once(process, 'worker');
  const lost = rejects(dispatcher.run('m', long, { x }, {}), /model "m": the run was lost/);
  const [thread] = (await started) as [Worker];
  const next = dispatcher.run('m', chain(weights, memory, 3), { x }, {});
  await thread.terminate();
  await lost;
  assertClose(await next, 3);
  await core.close();
});

test('when a thread fails to start, its run alone is lost, not the one that waits behind it', async () => {
  const memory = new EngineMemory(32 << 20);
  const kernels = loadKernels(memory.memory, { build: 'plain' });
  memory.reserve(kernels.heapBase);
  let threads = 0;
  const core = new Core({
    memory: memory.memory,
    build: kernels.build,
    blocks: CoreBlock.allocate(memory, 1),
    index: 0,
    // What a thread is given is copied when it is made: the first gets nothing that computes.
    get module() {
      return ++threads === 1 ? ({} as WebAssembly.Module) : kernels.module;
    },
  });
  const dispatcher = new Dispatcher({ first: core, cores: [core] });
  const program = chain(new MemoryWeights(memory, 'm', 1 << 16), memory, 3);
  const lost = rejects(dispatcher.run('m', program, { x }, {}), /model "m": the run was lost/);
  const next = dispatcher.run('m', program, { x }, {});
  await lost;
  assertClose(await next, 3);
  assert.is(threads, 2);
  await core.close();
});

test('outputs that the process has no memory for end their run, and the next one is served', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const good = chain(weights, memory, 3);
  const program = chainProgram(weights, 3);
  const [output] = program.outputs;
  const huge = { ...program, outputs: [{ ...(output as NonNullable<typeof output>), dims: [2 ** 40] }] };
  await rejects(dispatcher.run('m', new LoadedProgram(huge, weights, memory, 'm'), { x }, {}), /model "m": .*outputs/);
  assertClose(await dispatcher.run('m', good, { x }, {}), 3);
  await core.close();
});

test('an engine that is closed rejects runs and blocks nobody', async () => {
  const { memory, core, dispatcher, weights } = setup();
  const program = chain(weights, memory, 3);
  await core.close();
  const runs = [0, 1].map(() => rejects(dispatcher.run('m', program, { x }, {}), /the run was lost/));
  await Promise.all(runs);
});

test('a run that finds no memory is refused with the figures, and the others go on', async () => {
  const { memory, core, dispatcher, weights } = setup(4 << 20);
  const program = chainProgram(weights, 3);
  const large = new LoadedProgram({ ...program, arenaBytes: 16 << 20 }, weights, memory, 'm');
  await rejects(
    dispatcher.run('m', large, { x }, {}),
    /MemoryLimitError: a run of model "m" needs 16\.8 MB: expected at most 4\.2 MB/,
  );
  assertClose(await dispatcher.run('m', chain(weights, memory, 3), { x }, {}), 3);
  await core.close();
});

test.run();
