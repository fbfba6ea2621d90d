/** The dispatcher on real threads: several runs at a time, deadlines, time-outs, refusals, and what it tells of them. */
import { setTimeout } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { machineClock } from '../../../runtime/engine/clock-io.ts';
import { Core } from '../../../runtime/engine/core.ts';
import { CoreBlock } from '../../../runtime/engine/core-block.ts';
import { Dispatcher } from '../../../runtime/engine/dispatcher.ts';
import { loadKernels, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import { RunError } from '../../../runtime/engine/run-error.ts';
import { explainRun } from '../../../runtime/schedule/timeline.ts';
import { assertClose, chain, rejects, x } from './chain.ts';

prepareV8();

/** Some tenths of a second of products. */
const LONG = 40_000;

/** The time of day stands still, so that what is left until a deadline is the same however late a busy machine gets to submit the run. */
const EPOCH_MS = 1_000_000;
const clock = { ...machineClock, epochMs: () => EPOCH_MS };

async function setup(count: number) {
  const memory = new EngineMemory(64 << 20);
  const kernels = loadKernels(memory.memory, { build: 'plain' });
  memory.reserve(kernels.heapBase);
  const blocks = CoreBlock.allocate(memory, count);
  const shared = { memory: memory.memory, build: kernels.build, module: kernels.module, blocks };
  const cores = Array.from({ length: count }, (_, index) => new Core({ ...shared, index }));
  const tenants = [{ name: 'guest', weight: 1, runsMax: 1 }];
  const dispatcher = new Dispatcher({ first: cores[0] as Core, cores }, { tenants, clock });
  const weights = new MemoryWeights(memory, 'm', 1 << 16);
  // All threads are there once several runs have been waiting for them.
  const warm = chain(weights, memory, 2000);
  for (let known = 0; known < count; ) {
    const runs = await Promise.all(Array.from({ length: 2 * count }, () => dispatcher.run('warm', warm, { x }, {})));
    known = new Set(runs.flatMap(({ accounts }) => accounts?.[0]?.slices.flatMap((slice) => slice.cores) ?? [])).size;
  }
  const close = () => Promise.all(cores.map((core) => core.close()));
  return { memory, cores, dispatcher, close, program: (steps: number) => chain(weights, memory, steps) };
}

test('two cores compute two runs at a time; an urgent one takes one of them, and the other goes on', async () => {
  const { dispatcher, close, program } = await setup(2);
  // So long that it is not over first, whatever else the machine does.
  const [long, short] = [program(4 * LONG), program(300)];
  const alone = await dispatcher.run('long', long, { x }, {});
  const both = [1, 2].map(() => dispatcher.run('long', long, { x }, { priority: 'background' }));
  await setTimeout(20);
  const urgent = await dispatcher.run('urgent', short, { x }, { priority: 'safety' });
  assertClose(urgent, 300);
  const [a, b] = (await Promise.all(both)).map(({ outputs, accounts }) => {
    assert.equal(outputs, alone.outputs);
    return accounts?.[0];
  });
  assert.ok(a && b);
  assert.ok(a.slices.some((one) => b.slices.some((other) => one.fromUs < other.untilUs && other.fromUs < one.untilUs)));
  assert.is(a.preemptions + b.preemptions, 1);
  const urgentId = dispatcher.timeline.runs.find(({ request }) => request.model === 'urgent')?.request.id;
  const aside = [...a.slices, ...b.slices].find(({ preemptedBy }) => preemptedBy !== undefined);
  assert.is(aside?.preemptedBy, urgentId);
  const told = dispatcher.timeline.runs.filter(({ account }) => account?.preemptions === 1).map(explainRun);
  assert.match(told[0] as string, new RegExp(`\\(model long, background, .* set aside once for run ${urgentId}`));
  await close();
});

/** As of a thread that the system gives no processor to. */
function ignoreOrders({ block }: Core): () => void {
  const { ask } = block;
  block.ask = (asked, run) => {
    if (asked === 'give way') ask.call(block, asked, run);
  };
  return () => {
    block.ask = ask;
  };
}

test('an urgent run begins although the core that is told to stop does not: another one gives way, and goes on to the same bits', async () => {
  const { cores, dispatcher, close, program } = await setup(2);
  // So long that nothing else is over first, whatever else the machine does.
  const [long, short] = [program(4 * LONG), program(300)];
  const alone = await dispatcher.run('long', long, { x }, {});
  const undo = cores.map(ignoreOrders);
  const finished: string[] = [];
  const both = [1, 2].map(async () => {
    const result = await dispatcher.run('long', long, { x }, { priority: 'background' });
    finished.push('long');
    return result;
  });
  await setTimeout(20);
  assertClose(await dispatcher.run('urgent', short, { x }, { priority: 'safety' }), 300);
  finished.push('urgent');
  for (const each of undo) each();
  const ends = (await Promise.all(both)).map(({ outputs, accounts }) => {
    assert.equal(outputs, alone.outputs);
    return accounts?.[0]?.preemptions;
  });
  assert.equal(
    [finished, ends.toSorted()],
    [
      ['urgent', 'long', 'long'],
      [0, 1],
    ],
  );
  await close();
});

test('a fault and a lost thread harm no run beside them', async () => {
  const { memory, dispatcher, close, program } = await setup(2);
  const [long, broken] = [program(LONG), program(300)];
  const third = broken.program.origins[2]?.word as number;
  new Uint32Array(memory.memory.buffer, broken.words + third * 4, 1)[0] = 0x2fe;
  const before = memory.usedBytes;
  const beside = dispatcher.run('long', long, { x }, {});
  for (let i = 0; i < 5; i++) await rejects(dispatcher.run('m', broken, { x }, {}), /node "step 2": the run cannot/);
  assertClose(await beside, LONG);
  assert.is(memory.usedBytes, before);
  await close();
});

test('a run is ended at its deadline and when its time is out, while it computes and while it waits', async () => {
  const { memory, dispatcher, close, program } = await setup(1);
  const long = program(LONG);
  const before = memory.usedBytes;
  const startedMs = machineClock.nowMs();
  const computing = dispatcher.run('m', long, { x }, { deadlineMs: EPOCH_MS + 60 }).catch((error) => error);
  const waiting = dispatcher.run('m', long, { x }, { timeoutMs: 30, priority: 3 }).catch((error) => error);
  const out: RunError = await waiting;
  assert.is(out.outcome, 'timed-out');
  assert.match(out.message, /model "m": the run was ended after its 30 ms, when \d+\.\d ms were computed/);
  const late: RunError = await computing;
  assert.ok(machineClock.nowMs() - startedMs >= 59);
  assert.is(late.outcome, 'late');
  assert.match(late.message, /model "m": the run was ended at its deadline, when \d+\.\d ms were computed/);
  assert.ok((late.account?.runUs as number) > 0);
  const third = await dispatcher.run('m', long, { x }, { timeoutMs: 20 }).catch((error) => error);
  assert.is(third.outcome, 'timed-out');
  assert.is(memory.usedBytes, before);
  assertClose(await dispatcher.run('m', program(3), { x }, {}), 3);
  await close();
});

test('what cannot be in time, or asks for what there is not, is refused at once with the reason', async () => {
  const { dispatcher, close, program } = await setup(1);
  const [long, short] = [program(LONG), program(3)];
  const deadline = (ms: number) => ({ deadlineMs: EPOCH_MS + ms });
  const refusal = async (run: Promise<unknown>, message: RegExp, cause: string): Promise<void> => {
    const error = (await run.catch((reason) => reason)) as RunError;
    assert.instance(error, RunError);
    assert.match(error.message, message);
    assert.equal([error.outcome, error.refusal], ['refused', cause]);
  };
  await refusal(
    dispatcher.run('m', short, { x }, deadline(-50)),
    /deadline: expected one to come, got one \d+\.\d ms ago/,
    'deadline',
  );
  await refusal(
    dispatcher.run('m', short, { x }, { priority: 'urgent' }),
    /expected one of safety, interactive, normal, background, got "urgent"/,
    'request',
  );
  await refusal(dispatcher.run('m', short, { x }, { timeoutMs: 0 }), /time-out: expected a time above 0/, 'request');
  await refusal(dispatcher.run('m', short, { x }, { tenant: 'nobody' }), /tenant "nobody" has no quota here/, 'quota');
  await dispatcher.run('m', long, { x }, {});
  await refusal(
    dispatcher.run('m', long, { x }, deadline(5)),
    /expected to end after \d+\.\d ms, later than its deadline/,
    'deadline',
  );
  await refusal(
    dispatcher.run('m', long, { x }, { ...deadline(5), priority: 0 }),
    /the deadline cannot be promised: it would end/,
    'deadline',
  );
  const first = dispatcher.run('m', long, { x }, { tenant: 'guest' });
  await refusal(
    dispatcher.run('m', short, { x }, { tenant: 'guest' }),
    /"guest" has 1 unfinished runs of class normal, expected fewer than its quota of 1/,
    'quota',
  );
  // Behind another one that takes most of the time.
  await refusal(
    dispatcher.run('m', long, { x }, deadline(100)),
    /\d+\.\d ms of work as urgent or more is ahead on 1 cores/,
    'deadline',
  );
  assertClose(await first, LONG);
  await close();
});

test('in a class the one that is due first goes first', async () => {
  const { dispatcher, close, program } = await setup(1);
  const [long, short] = [program(LONG / 4), program(30)];
  const order: string[] = [];
  // Who says nothing is due after a minute there: deadlines before that which no machine misses.
  const last = { priority: 'background' };
  const run = (name: string, ms: number | undefined) =>
    dispatcher
      .run(name, short, { x }, { ...last, deadlineMs: ms === undefined ? undefined : EPOCH_MS + ms })
      .then(() => order.push(name));
  const before = dispatcher.run('long', long, { x }, last);
  await Promise.all([run('whenever', undefined), run('soon', 40_000), run('sooner', 20_000), before]);
  assert.equal(order, ['sooner', 'soon', 'whenever']);
  await close();
});

test.run();
