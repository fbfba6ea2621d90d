import { setImmediate } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Dispatcher } from '../../../runtime/engine/dispatcher.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import type { RunOptions, RunResult } from '../../../runtime/engine/model.ts';
import { RunError } from '../../../runtime/engine/run-error.ts';
import { Random } from '../../random.ts';
import { type Course, processorsOf, VirtualCore, VirtualTime } from './virtual-cores.ts';

/** Another engine that takes as long as it is told. */
function setup() {
  const memory = new EngineMemory(1 << 20);
  memory.reserve(1024);
  const courseOf = (id: number): Course => {
    throw new Error(`run ${id} is given to a core`);
  };
  const machine = { memory, courseOf, time: new VirtualTime(), random: new Random(1), arenas: new Map() };
  const core = new VirtualCore({ ...machine, instructionMs: 1, handOverShare: 0 }, 0);
  const tenants = [{ name: 'guest', weight: 1, runsMax: 1 }];
  const dispatcher = new Dispatcher(processorsOf([core]), { clock: machine.time, tenants });
  const { offloaded } = dispatcher;
  const computing: { name: string; end: PromiseWithResolvers<RunResult> }[] = [];
  const outcomes: string[] = [];
  const run = (name: string, options: RunOptions = {}, model = 'm'): Promise<void> => {
    const compute = (): Promise<RunResult> => {
      const end = Promise.withResolvers<RunResult>();
      computing.push({ name, end });
      return end.promise;
    };
    return offloaded.run(model, options, compute).then(
      () => void outcomes.push(`${name} done`),
      (error) => void outcomes.push(`${name}: ${error.message}`),
    );
  };
  /** Lets the run that is computed end, and says which one is computed then. */
  const next = async (failure?: Error): Promise<string | undefined> => {
    const { end } = computing.shift() as (typeof computing)[number];
    if (failure) end.reject(failure);
    else end.resolve({ outputs: {}, queueMs: 0, runMs: 1 });
    await setImmediate();
    assert.ok(computing.length <= 1, 'two runs at a time');
    return computing[0]?.name;
  };
  return { dispatcher, offloaded, computing, outcomes, run, next };
}

test('the most urgent run is next, a run that is computed is not interrupted, and one that fails harms no other', async () => {
  const { dispatcher, outcomes, run, next } = setup();
  const runs = [
    run('first', { priority: 'background' }),
    run('report', { priority: 'background' }),
    run('label', { priority: 'interactive' }, 'n'),
  ];
  await setImmediate();
  assert.is(await next(), 'label');
  assert.is(await next(new Error('it broke')), 'report');
  assert.is(await next(), undefined);
  await Promise.all(runs);
  assert.equal(outcomes, ['first done', 'label: it broke', 'report done']);
  assert.equal(
    dispatcher.timeline.runs.map(({ request, outcome }) => [request.model, outcome]),
    [
      ['m (onnxruntime)', 'done'],
      ['n (onnxruntime)', 'failed'],
      ['m (onnxruntime)', 'done'],
    ],
  );
});

test('a run that is cancelled while it is computed is answered at once, and the next one begins when it is over', async () => {
  const { computing, outcomes, run, next } = setup();
  const abort = new AbortController();
  const first = run('first', { signal: abort.signal });
  const second = run('second');
  await setImmediate();
  abort.abort(new Error('no longer wanted'));
  await first;
  assert.equal(outcomes, ['first: no longer wanted']);
  assert.equal(
    computing.map(({ name }) => name),
    ['first'],
  );
  assert.is(await next(), 'second');
  await next();
  await second;
});

test('safety cannot be promised anything there, and quotas hold', async () => {
  const { offloaded, outcomes, run, next } = setup();
  const refusal = await offloaded
    .run('m', { priority: 'safety' }, () => Promise.reject(new Error('it is computed')))
    .catch((error) => error);
  assert.instance(refusal, RunError);
  assert.match(refusal.message, /runs on accelerators only, .* expected a model that cores can compute/);
  const first = run('first', { tenant: 'guest' });
  await run('second', { tenant: 'guest' });
  assert.match(outcomes[0] ?? '', /second: .* tenant "guest" has 1 unfinished runs/);
  await next();
  await first;
});

test('closing a model turns away what waits for it, lets it end what it computes, and leaves other models alone', async () => {
  const { offloaded, outcomes, run, next } = setup();
  const runs = [run('first'), run('waiting'), run('other', {}, 'n')];
  await setImmediate();
  let isClosed = false;
  const closing = offloaded.close('m', new Error('closed')).then(() => {
    isClosed = true;
  });
  await setImmediate();
  assert.equal(outcomes, ['waiting: closed']);
  assert.not(isClosed);
  assert.is(await next(), 'other');
  await closing;
  await next();
  await Promise.all(runs);
  assert.equal(outcomes, ['waiting: closed', 'first done', 'other done']);
  // Another model of the name may come.
  const again = run('again');
  await setImmediate();
  await next();
  await again;
});

test.run();
