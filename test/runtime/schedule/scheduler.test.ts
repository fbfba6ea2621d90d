import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Batching } from '../../../runtime/schedule/batch.ts';
import type { Decision, RunRequest, SchedulerSpec } from '../../../runtime/schedule/events.ts';
import { Scheduler } from '../../../runtime/schedule/scheduler.ts';

const SPEC: SchedulerSpec = {
  cores: 1,
  memoryBytes: 100,
  instructionUs: 250,
  tenants: [
    { name: 'plant', weight: 1, runsMax: 1000 },
    { name: 'guest', weight: 3, runsMax: 1000 },
  ],
  models: [
    { name: 'detect', bytes: 40, pinned: true },
    { name: 'a', bytes: 50, loadUs: 10_000 },
    { name: 'b', bytes: 50, loadUs: 10_000 },
    { name: 'huge', bytes: 61 },
  ],
};

const RUN: RunRequest = { id: 0, model: 'detect', tenant: 'plant', priority: 'normal', workUs: 1000 };
const batching = { sizesAt: () => [2, 3, 4].map((runs) => ({ runs, us: 600 + 400 * runs })) };

/** A scheduler whose pinned model is loaded. */
function ready(spec: Partial<SchedulerSpec> = {}): Scheduler {
  const scheduler = new Scheduler({ ...SPEC, ...spec }, 0);
  assert.equal(scheduler.step({ kind: 'tick' }, 0), [{ kind: 'load', model: 'detect' }]);
  scheduler.step({ kind: 'loaded', model: 'detect' }, 0);
  return scheduler;
}

type Submitted = Partial<RunRequest> & { readonly batching?: Batching };

function submit(scheduler: Scheduler, { batching, ...run }: Submitted, nowUs: number): readonly Decision[] {
  return scheduler.step({ kind: 'submit', request: { ...RUN, ...run }, batching }, nowUs);
}

function refusal(scheduler: Scheduler, run: Partial<RunRequest>, nowUs = 1000): string {
  const [decision] = submit(scheduler, run, nowUs);
  return decision?.kind === 'refuse' ? decision.reason : 'admitted';
}

test('what can never be is refused with a sentence that says what to do', () => {
  const scheduler = ready({ tenants: [{ name: 'plant', weight: 1, runsMax: 1 }] });
  assert.match(refusal(scheduler, { deadlineUs: 500 }), /deadline: expected one to come, got one 0.5 ms ago/);
  assert.match(refusal(scheduler, { deadlineUs: Number.NaN }), /deadline/);
  assert.match(refusal(scheduler, { priority: 'urgent' }), /expected one of safety, interactive, normal, background/);
  assert.match(refusal(scheduler, { priority: 4 }), /expected one of/);
  assert.match(refusal(scheduler, { priority: 0.5 }), /expected one of/);
  assert.match(refusal(scheduler, { tenant: 'nobody' }), /has no quota here/);
  assert.match(refusal(scheduler, { model: 'none' }), /expected one that is registered/);
  assert.match(refusal(scheduler, { model: 'huge' }), /needs 61 bytes, expected at most 60/);
  assert.match(refusal(scheduler, { model: 'a', priority: 'safety' }), /pin the model/);
  assert.match(refusal(scheduler, { workUs: Number.NaN }), /workUs/);
  assert.match(refusal(scheduler, { cores: 0 }), /cores/);
  submit(scheduler, {}, 1000);
  assert.match(
    refusal(scheduler, { id: 1 }),
    /1 unfinished runs of class normal, expected fewer than its quota of 1; wait/,
  );
  assert.is(refusal(scheduler, { id: 2, priority: 'background' }), 'admitted');
  assert.match(refusal(scheduler, {}), /expected an id/);
});

test('a spec that contradicts itself is refused', () => {
  const pinned = [1, 2].map((i) => ({ name: `m${i}`, bytes: 60, pinned: true }));
  assert.throws(() => new Scheduler({ ...SPEC, models: pinned }, 0), /pinned models need 120 bytes/);
  assert.throws(() => new Scheduler({ ...SPEC, cores: 0 }, 0), /cores: expected/);
  assert.throws(() => new Scheduler({ ...SPEC, tenants: [{ name: 'x', weight: 0, runsMax: 1 }] }, 0), /weight/);
});

test('a more urgent run takes the core after one instruction, and the other goes on afterwards', () => {
  const scheduler = ready();
  assert.equal(submit(scheduler, { id: 1 }, 0), [{ kind: 'start', cores: [0], runs: [1] }]);
  assert.equal(submit(scheduler, { id: 2, priority: 'interactive' }, 100), [{ kind: 'suspend', core: 0, for: 2 }]);
  const stop = { kind: 'stopped', core: 0 } as const;
  assert.equal(scheduler.step({ ...stop, outcome: 'suspended' }, 200), [{ kind: 'start', cores: [0], runs: [2] }]);
  const [end, resume] = scheduler.step({ ...stop, outcome: 'done' }, 1200);
  assert.is(end?.kind === 'end' && end.run, 2);
  assert.equal(resume, { kind: 'start', cores: [0], runs: [1] });
  const [last] = scheduler.step({ ...stop, outcome: 'done' }, 2000);
  assert.equal(last?.kind === 'end' && last.account, {
    submittedUs: 0,
    readyUs: 0,
    endedUs: 2000,
    runUs: 1000,
    preemptions: 1,
    slices: [
      { fromUs: 0, untilUs: 200, cores: [0], batch: 1, preemptedBy: 2 },
      { fromUs: 1200, untilUs: 2000, cores: [0], batch: 1, preemptedBy: undefined },
    ],
  });
});

test('a safety run that would miss its deadline, or make another miss it, is refused', () => {
  const scheduler = ready();
  const safety = { priority: 'safety', workUs: 1000 } as const;
  submit(scheduler, { ...safety, id: 1, deadlineUs: 2000 }, 0);
  assert.match(refusal(scheduler, { ...safety, id: 2, deadlineUs: 2000 }, 0), /cannot be promised: it would end/);
  assert.is(refusal(scheduler, { ...safety, id: 3, deadlineUs: 2700 }, 0), 'admitted');
  assert.match(refusal(scheduler, { ...safety, id: 4, deadlineUs: 2600 }, 0), /run 3, admitted before, would end/);
});

test('a safety run is promised that its answer is there in time, not its end alone', () => {
  const scheduler = ready({ answerUs: 500 });
  const safety = { priority: 'safety', workUs: 1000 } as const;
  assert.match(refusal(scheduler, { ...safety, id: 1, deadlineUs: 1700 }, 0), /it would end 0\.1 ms late/);
  assert.is(refusal(scheduler, { ...safety, id: 2, deadlineUs: 1750 }, 0), 'admitted');
});

test('a run that is expected to end late is refused with the prediction', () => {
  const scheduler = ready();
  for (let id = 1; id <= 10; id++) submit(scheduler, { id }, 0);
  assert.match(refusal(scheduler, { id: 11, deadlineUs: 500 }, 0), /expected to end after 2\.0 ms/);
  assert.is(refusal(scheduler, { id: 12, deadlineUs: 3000 }, 0), 'admitted');
});

const DONE = { kind: 'stopped', core: 0, outcome: 'done' } as const;

/** The runs that start together of eight that wait. */
function batchOf(first: Submitted, others: Submitted): readonly number[] {
  const scheduler = ready();
  submit(scheduler, { id: 0 }, 0);
  submit(scheduler, { ...first, id: 1 }, 0);
  for (let id = 2; id < 8; id++) submit(scheduler, { ...others, id }, 0);
  const start = scheduler.step(DONE, 1000).find(({ kind }) => kind === 'start');
  return start?.kind === 'start' ? start.runs : [];
}

test('waiting runs of one program go together, as many as no deadline forbids', () => {
  assert.equal(batchOf({ batching }, { batching }), [1, 2, 3, 4]);
  assert.equal(batchOf({ batching, deadlineUs: 2500 }, { batching }), [1, 2]);
  assert.equal(batchOf({ batching, deadlineUs: 2100 }, { batching }), [1]);
  assert.equal(batchOf({ batching, priority: 0 }, { batching, priority: 0 }), [1], 'each promise is of its own');
  assert.equal(batchOf({ batching }, { batching: { ...batching } }), [1], 'another program');
  assert.equal(batchOf({}, { batching }), [1]);
});

test('a batch must not let those that wait end later, on average', () => {
  const taking = (us: number) => ({ batching: { sizesAt: () => [{ runs: 4, us }] } });
  // Seven wait: 4 · us + 3 · us against 1000 + 2000 + 3000 + 4000 + 3 · 4000.
  const most = 22_000 / 7;
  const [cheap, dear] = [taking(most - 1), taking(most + 1)];
  assert.equal(batchOf(cheap, cheap), [1, 2, 3, 4]);
  assert.equal(batchOf(dear, dear), [1]);
});

test('a batch that was set aside goes on as a whole, and is what the core that stops first goes on with', () => {
  const scheduler = ready();
  submit(scheduler, { id: 0 }, 0);
  for (let id = 1; id <= 2; id++) submit(scheduler, { id, batching }, 0);
  assert.is(scheduler.next, undefined, 'two may start together');
  assert.equal(scheduler.step(DONE, 1000).at(-1), { kind: 'start', cores: [0], runs: [1, 2] });
  submit(scheduler, { id: 3, priority: 'interactive' }, 1100);
  scheduler.step({ ...DONE, outcome: 'suspended' }, 1200);
  assert.is(scheduler.next, 1);
  const [cancelled] = scheduler.step({ kind: 'cancel', run: 1 }, 1300);
  assert.is(cancelled?.kind === 'end' && cancelled.outcome, 'cancelled');
  assert.is(scheduler.next, 2, 'the rest goes on');
  scheduler.step({ ...DONE, next: 2 }, 2200);
  const [end] = scheduler.step(DONE, 3000);
  assert.is(end?.kind === 'end' && end.outcome, 'done');
});

test('tenants that always have work share the core by their weights', () => {
  const scheduler = ready();
  const tenants = ['plant', 'guest'];
  const used = new Map<string, number>();
  let id = 0;
  const add = (tenant: string): readonly Decision[] =>
    submit(
      scheduler,
      { id: id++, tenant, model: 'detect', priority: 'interactive', workUs: 1000 + (id % 7) * 100 },
      nowUs,
    );
  const owner = new Map<number, string>();
  let nowUs = 0;
  let running: number[] = [];
  const follow = (decisions: readonly Decision[]): void => {
    for (const each of decisions) if (each.kind === 'start') running = [...each.runs];
  };
  for (let i = 0; i < 40; i++) {
    owner.set(id, tenants[i % 2] as string);
    follow(add(tenants[i % 2] as string));
  }
  for (let turn = 0; turn < 4000; turn++) {
    nowUs += 1000;
    const ran = running;
    for (const run of ran)
      used.set(owner.get(run) as string, (used.get(owner.get(run) as string) ?? 0) + 1000 / ran.length);
    running = [];
    follow(scheduler.step({ kind: 'stopped', core: 0, outcome: 'done' }, nowUs));
    for (const run of ran) {
      owner.set(id, owner.get(run) as string);
      follow(add(owner.get(run) as string));
    }
  }
  const [plant = 0, guest = 0] = tenants.map((tenant) => used.get(tenant));
  // Weights 1 and 3: the difference stays below the credit of the class and a few runs, however long it lasts.
  assert.ok(Math.abs(guest / 3 - plant) < 260_000, `plant ${plant} µs, guest ${guest} µs`);
});

test('a model makes room for another once its runs are done, and runs of others go on', () => {
  const scheduler = ready();
  assert.equal(submit(scheduler, { id: 1, model: 'a' }, 0), [{ kind: 'load', model: 'a' }]);
  assert.equal(scheduler.step({ kind: 'loaded', model: 'a' }, 10), [{ kind: 'start', cores: [0], runs: [1] }]);
  assert.equal(submit(scheduler, { id: 2, model: 'b', priority: 'interactive' }, 20), []);
  // The model drains: its next run has to wait, that of the pinned one has not.
  assert.equal(submit(scheduler, { id: 3, model: 'a' }, 30), []);
  assert.equal(submit(scheduler, { id: 4 }, 40), []);
  const decisions = scheduler.step({ kind: 'stopped', core: 0, outcome: 'done' }, 1010);
  assert.equal(decisions.slice(1), [
    { kind: 'unload', model: 'a' },
    { kind: 'start', cores: [0], runs: [4] },
  ]);
  assert.equal(scheduler.step({ kind: 'unloaded', model: 'a' }, 1020), [{ kind: 'load', model: 'b' }]);
  assert.equal(scheduler.step({ kind: 'loaded', model: 'b' }, 1030), [{ kind: 'suspend', core: 0, for: 2 }]);
});

test('a cancelled run ends at once and its core is told to stop', () => {
  const scheduler = ready();
  submit(scheduler, { id: 1 }, 0);
  const [end, suspend] = scheduler.step({ kind: 'cancel', run: 1 }, 100);
  assert.is(end?.kind === 'end' && end.outcome, 'cancelled');
  assert.equal(suspend, { kind: 'suspend', core: 0 });
  assert.equal(scheduler.step({ kind: 'stopped', core: 0, outcome: 'suspended' }, 200), []);
  assert.equal(scheduler.step({ kind: 'cancel', run: 1 }, 300), []);
});

test('an urgent run gets several cores, and gives them back when another comes', () => {
  const scheduler = ready({ cores: 2 });
  const [start] = submit(scheduler, { id: 1, cores: 4 }, 0);
  assert.equal(start?.kind === 'start' && start.cores.length, 2);
  const [first] = start?.kind === 'start' ? start.cores : [];
  assert.equal(submit(scheduler, { id: 2 }, 100), [{ kind: 'suspend', core: first, for: 2 }]);
  const both = scheduler.step({ kind: 'stopped', core: first as number, outcome: 'suspended' }, 200);
  assert.equal(
    both.map((each) => each.kind === 'start' && each.runs),
    [[1], [2]],
  );
});

const GPU: Partial<SchedulerSpec> = {
  accelerators: ['gpu'],
  models: [
    { name: 'detect', bytes: 1, pinned: true, accelerators: { gpu: 400 } },
    { name: 'gpu-only', bytes: 1, pinned: true, accelerators: { gpu: 100 }, onCores: false },
  ],
};

function withGpu(): Scheduler {
  const scheduler = new Scheduler({ ...SPEC, ...GPU }, 0);
  for (const model of ['detect', 'gpu-only']) scheduler.step({ kind: 'loaded', model }, 0);
  return scheduler;
}

test('a run goes where it is expected to end first', () => {
  const scheduler = withGpu();
  // Core 0 takes 1000 µs, the accelerator, which comes next in number, 400.
  assert.equal(submit(scheduler, { id: 1 }, 0), [{ kind: 'start', cores: [1], runs: [1] }]);
  // Behind the first one the accelerator would be done after 800 µs, still earlier than the core …
  assert.equal(submit(scheduler, { id: 2 }, 0), []);
  // … but not as the third one.
  assert.equal(submit(scheduler, { id: 3 }, 0), [{ kind: 'start', cores: [0], runs: [3] }]);
});

test('a run takes further cores when they become idle', () => {
  const scheduler = ready({ cores: 3 });
  submit(scheduler, { id: 1 }, 0);
  // Two cores are idle, and nobody else waits.
  assert.equal(submit(scheduler, { id: 2, cores: 4, workUs: 100_000 }, 0), [
    { kind: 'start', cores: [2, 1], runs: [2] },
  ]);
  const [end, suspend] = scheduler.step({ kind: 'stopped', core: 0, outcome: 'done' }, 1000);
  assert.is(end?.kind, 'end');
  assert.equal(suspend, { kind: 'suspend', core: 2 });
  const [start] = scheduler.step({ kind: 'stopped', core: 2, outcome: 'suspended' }, 1100);
  assert.is(start?.kind === 'start' && start.cores.length, 3);
});

test('a run that can use several cores is admitted by the time that it takes on them', () => {
  const scheduler = ready({ cores: 2 });
  assert.match(refusal(scheduler, { workUs: 18_000, deadlineUs: 12_000 }, 0), /expected to end after 18.0 ms/);
  assert.is(refusal(scheduler, { workUs: 18_000, deadlineUs: 12_000, cores: 2 }, 0), 'admitted');
});

test('what an accelerator computes is not interrupted, and a cancelled run ends while the accelerator goes on', () => {
  const scheduler = withGpu();
  submit(scheduler, { id: 1, model: 'gpu-only', priority: 'background' }, 0);
  assert.equal(submit(scheduler, { id: 2, model: 'gpu-only', priority: 'interactive' }, 10), []);
  assert.equal(
    scheduler.step({ kind: 'cancel', run: 1 }, 20).map(({ kind }) => kind),
    ['end'],
  );
  const stop = { kind: 'stopped', core: 1, outcome: 'done' } as const;
  assert.equal(scheduler.step(stop, 100), [{ kind: 'start', cores: [1], runs: [2] }]);
});

test('nothing is promised to a safety run on an accelerator', () => {
  const scheduler = withGpu();
  assert.equal(submit(scheduler, { id: 1, priority: 'safety', deadlineUs: 5000 }, 0), [
    { kind: 'start', cores: [0], runs: [1] },
  ]);
  assert.match(refusal(scheduler, { id: 2, model: 'gpu-only', priority: 'safety' }), /runs on accelerators only/);
  assert.match(
    refusal(
      ready({
        models: [
          { name: 'detect', bytes: 1, pinned: true },
          { name: 'x', bytes: 1, onCores: false },
        ],
      }),
      {
        model: 'x',
      },
    ),
    /accelerators only, and those here are: none/,
  );
});

test('an idle core takes what waits for an accelerator once it would end earlier there', () => {
  const scheduler = withGpu();
  submit(scheduler, { id: 1 }, 0);
  assert.equal(submit(scheduler, { id: 2, priority: 'safety', workUs: 2000 }, 0), [
    { kind: 'start', cores: [0], runs: [2] },
  ]);
  // After 800 µs on the accelerator, after 2500 on the core.
  assert.equal(submit(scheduler, { id: 3, workUs: 500 }, 0), []);
  const [end, start] = scheduler.step({ kind: 'stopped', core: 0, outcome: 'done' }, 50);
  assert.is(end?.kind === 'end' && end.run, 2);
  assert.equal(start, { kind: 'start', cores: [0], runs: [3] });
});

test('a run whose deadline forbids its model takes the smaller one that it names, and says why', () => {
  const models = ['detect', 'small'].map((name) => ({ name, bytes: 1, pinned: true }));
  const scheduler = new Scheduler({ ...SPEC, models }, 0);
  for (const { name } of models) scheduler.step({ kind: 'loaded', model: name }, 0);
  const instead = [{ model: 'small', workUs: 100 }];
  const [degrade, start] = submit(scheduler, { id: 1, deadlineUs: 500, instead }, 0);
  assert.ok(degrade?.kind === 'degrade' && degrade.model === 'small');
  assert.match(degrade.kind === 'degrade' ? degrade.reason : '', /expected to end after 1\.0 ms/);
  assert.equal(start, { kind: 'start', cores: [0], runs: [1] });
  const [refuse] = submit(scheduler, { id: 2, deadlineUs: 90, instead }, 0);
  assert.ok(refuse?.kind === 'refuse' && refuse.cause === 'deadline', JSON.stringify(refuse));
  const [wrong] = submit(scheduler, { id: 3, model: 'none', instead }, 0);
  assert.ok(wrong?.kind === 'refuse' && wrong.cause === 'request');
  const [quota] = submit(scheduler, { id: 4, tenant: 'nobody' }, 0);
  assert.ok(quota?.kind === 'refuse' && quota.cause === 'quota');
});

test('models that others bring come and go with their runs, however many', () => {
  const scheduler = ready();
  for (let i = 0; i < 100; i++) {
    const model = `guest-${i}`;
    assert.match(refusal(scheduler, { id: i, model }, i * 1000), /expected one that is registered/);
    scheduler.step({ kind: 'model-added', model: { name: model, bytes: 1 } }, i * 1000);
    const [started] = submit(scheduler, { id: i, model }, i * 1000);
    assert.equal(started, { kind: 'start', cores: [0], runs: [i] });
    assert.throws(() => scheduler.step({ kind: 'model-removed', model }, i * 1000), /expected none of its runs/);
    scheduler.step({ kind: 'stopped', core: 0, outcome: 'done' }, i * 1000 + 500);
    scheduler.step({ kind: 'model-removed', model }, i * 1000 + 500);
  }
});

test('a core that becomes ready is given what waits', () => {
  const scheduler = ready({ cores: 2, coresReady: 1 });
  submit(scheduler, { id: 1 }, 0);
  assert.equal(submit(scheduler, { id: 2 }, 0), []);
  assert.is(scheduler.waiting, 1);
  assert.equal(scheduler.step({ kind: 'core-ready' }, 10), [{ kind: 'start', cores: [1], runs: [2] }]);
});

test('a run whose time is out is ended where it is, and nothing is refused for it', () => {
  const scheduler = ready();
  submit(scheduler, { id: 1, timeoutUs: 100, workUs: 1e6 }, 0);
  submit(scheduler, { id: 2, timeoutUs: 50, deadlineUs: 2e6, workUs: 1e5 }, 0);
  const outcomes = (nowUs: number) =>
    scheduler
      .step({ kind: 'tick' }, nowUs)
      .map((decision) => (decision.kind === 'end' ? [decision.run, decision.outcome] : decision.kind));
  assert.equal(outcomes(50), []);
  assert.equal(outcomes(51), [[2, 'timed-out']]);
  assert.is(scheduler.wakeUs, 101);
  assert.equal(outcomes(101), [[1, 'timed-out'], 'suspend']);
  assert.match(refusal(scheduler, { id: 3, timeoutUs: 0 }), /time-out: expected a time above 0/);
});

test('a safety run of unknown length is admitted where it can begin, and others behind it only if they can wait for its end', () => {
  const scheduler = ready();
  const safety = { priority: 'safety', workUs: 0 };
  submit(scheduler, { ...safety, id: 1, isUnknown: true, deadlineUs: 50_000 }, 0);
  assert.match(refusal(scheduler, { ...safety, id: 2, workUs: 1000, deadlineUs: 40_000 }, 10), /cannot be promised/);
  assert.is(refusal(scheduler, { ...safety, id: 3, workUs: 1000, deadlineUs: 60_000 }, 10), 'admitted');
  scheduler.step({ kind: 'stopped', core: 0, outcome: 'done' }, 5000);
  assert.is(refusal(scheduler, { ...safety, id: 4, workUs: 1000, deadlineUs: 40_000 }, 5000), 'admitted');
});

test.run();
