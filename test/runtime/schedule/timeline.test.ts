/** What runs say about their time, and the pictures of it. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { SchedulerEvent } from '../../../runtime/schedule/events.ts';
import { Scheduler } from '../../../runtime/schedule/scheduler.ts';
import { explainRun, Timeline, type TimelineRun, waitParts } from '../../../runtime/schedule/timeline.ts';
import { timelineChart } from '../../../runtime/schedule/timeline-chart.ts';
import { timelineTrace } from '../../../runtime/schedule/timeline-trace.ts';
import { playNode } from './simulation/node-load.ts';

/** A long run, an urgent one that comes between, and one that is refused. */
function played(): Timeline {
  const spec = {
    cores: 1,
    memoryBytes: 100,
    instructionUs: 250,
    tenants: [{ name: 'plant', weight: 1, runsMax: 10 }],
    models: [
      { name: 'a<b', bytes: 1 },
      { name: 'vad', bytes: 1, pinned: true },
    ],
  };
  const scheduler = new Scheduler(spec, 0);
  const timeline = new Timeline();
  const step = (event: SchedulerEvent, nowUs: number): void => {
    if (event.kind === 'submit') timeline.submitted(event.request);
    timeline.note(scheduler.step(event, nowUs));
  };
  step({ kind: 'loaded', model: 'vad' }, 0);
  const request = { tenant: 'plant', workUs: 20_000 };
  step({ kind: 'submit', request: { ...request, id: 1, model: 'a<b', priority: 'background', deadlineUs: 90_000 } }, 0);
  step({ kind: 'loaded', model: 'a<b' }, 5_000);
  step({ kind: 'submit', request: { ...request, id: 2, model: 'vad', priority: 'safety' } }, 10_000);
  step(
    { kind: 'submit', request: { ...request, id: 3, model: 'vad', priority: 'safety', deadlineUs: 10_500 } },
    10_100,
  );
  step({ kind: 'stopped', core: 0, outcome: 'suspended' }, 10_200);
  step({ kind: 'stopped', core: 0, outcome: 'done' }, 30_200);
  step({ kind: 'stopped', core: 0, outcome: 'done' }, 45_000);
  return timeline;
}

test('a run says what it waited for, and for whom it was set aside', () => {
  const [refused, urgent, long] = played().runs.map(explainRun);
  assert.match(refused ?? '', /^run 3 \(model vad, safety, tenant plant\): refused: the deadline cannot be promised/);
  assert.is(
    urgent,
    'run 2 (model vad, safety, tenant plant): 20.2 ms from submission to end, 20.0 ms of them on core 0; it waited 0.2 ms for a core; done.',
  );
  assert.is(
    long,
    'run 1 (model a<b, background, tenant plant): 45.0 ms from submission to end, 20.0 ms of them on core 0; it waited 5.0 ms for its model to be ready, 20.0 ms set aside once for run 2; done 45.0 ms before its deadline.',
  );
});

test('the parts of every run of a busy node add up to its time', () => {
  const timeline = new Timeline();
  playNode({ minutes: 0.05, utilisation: 1.2, seed: 1, timeline });
  let seen = 0;
  for (const { account } of timeline.runs) {
    if (!account) continue;
    const { memoryUs, coreUs, asideUs, computingUs } = waitParts(account);
    for (const us of [memoryUs, coreUs, asideUs, computingUs]) assert.ok(us > -1e-3, `a part of ${us} µs`);
    const sum = memoryUs + coreUs + asideUs + computingUs;
    assert.ok(Math.abs(sum - (account.endedUs - account.submittedUs)) < 1e-3);
    seen++;
  }
  assert.ok(seen > 300, `saw only ${seen} runs`);
});

test('what a run waited for its model as an entry is in its own account, drawn apart', () => {
  const tenants = [{ name: 'plant', weight: 1, runsMax: 10 }];
  const scheduler = new Scheduler({ cores: 1, memoryBytes: 100, instructionUs: 250, tenants, models: [] }, 0);
  const timeline = new Timeline();
  const step = (event: SchedulerEvent, nowUs: number): void => {
    if (event.kind === 'submit') timeline.submitted(event.request);
    timeline.note(scheduler.step(event, nowUs));
  };
  const request = { model: 'vad', tenant: 'plant', priority: 'normal', workUs: 5000, sinceUs: 1000 };
  step({ kind: 'model-known', model: { name: 'vad', bytes: 0 } }, 0);
  step({ kind: 'submit', request: { ...request, id: 1, part: 'entry' } }, 1000);
  step({ kind: 'submit', request: { ...request, id: 2, part: 'entry', timeoutUs: 3000 } }, 1000);
  step({ kind: 'tick' }, 4001);
  step({ kind: 'loaded', model: 'vad', bytes: 10 }, 9000);
  step({ kind: 'submit', request: { ...request, id: 3, part: 'step' } }, 9500);
  step({ kind: 'stopped', core: 0, outcome: 'done' }, 14_500);
  step({ kind: 'submit', request: { ...request, id: 4, part: 'step', isContinued: true } }, 15_000);
  step({ kind: 'stopped', core: 0, outcome: 'done' }, 20_000);
  assert.equal(timeline.runs.map(explainRun), [
    'run 2 (model vad, normal, tenant plant): 3.0 ms from submission to end, none of them on any core; it waited 3.0 ms for its model to be ready; its time was out.',
    'run 3 (model vad, normal, tenant plant): 13.5 ms from submission to end, 5.0 ms of them on core 0; it waited 8.5 ms for its model to be ready; done.',
    'run 4 (model vad, normal, tenant plant): 5.0 ms from submission to end, 5.0 ms of them on core 0; it did not wait; done.',
  ]);
  assert.is(timelineChart(timeline.runs, 'a load').match(/<line class="wait load"/g)?.length, 1 + 2);
});

test('accelerators are called by their names', () => {
  const tenants = [{ name: 'plant', weight: 1, runsMax: 10 }];
  const models = [{ name: 'det', bytes: 1, pinned: true, onCores: false, accelerators: { gpu: 4000 } }];
  const spec = { cores: 2, accelerators: ['gpu'], memoryBytes: 100, instructionUs: 250, tenants, models };
  const scheduler = new Scheduler(spec, 0);
  const timeline = new Timeline();
  scheduler.step({ kind: 'loaded', model: 'det' }, 0);
  for (const id of [1, 2]) {
    const request = { id, model: 'det', tenant: 'plant', priority: 'normal', workUs: 9000 };
    timeline.submitted(request);
    scheduler.step({ kind: 'submit', request }, 0);
  }
  for (const nowUs of [4000, 8000]) timeline.note(scheduler.step({ kind: 'stopped', core: 2, outcome: 'done' }, nowUs));
  assert.is(
    explainRun(timeline.runs[1] as TimelineRun),
    'run 2 (model det, normal, tenant plant): 8.0 ms from submission to end, 4.0 ms of them on gpu; it waited 4.0 ms for gpu; done.',
  );
  assert.match(timelineChart(timeline.runs, 'a GPU'), />gpu<\/text>/);
  const names = (timelineTrace(timeline.runs).traceEvents as { name: string; args: { name: string } }[])
    .filter(({ name }) => name === 'thread_name')
    .map(({ args }) => args.name);
  assert.equal(names, ['gpu']);
});

test('the chart has a bar for each slice, on its core and in its run, with the explanation', () => {
  const { runs } = played();
  const svg = timelineChart(runs, 'A & B');
  // Three slices on the one core, and the same in the rows of the runs; four classes in the legend.
  assert.is(svg.match(/<rect /g)?.length, 3 * 2 + 4);
  assert.match(svg, /aria-label="A &#38; B"/);
  assert.match(svg, /<title>run 1 \(model a&#60;b, background, tenant plant\): 45\.0 ms/);
  assert.match(svg, /2 runs, 1 refused/);
  assert.not.match(svg, /NaN|undefined|Infinity/);
  assert.throws(() => timelineChart([], 'none'), /expected at least one run/);
});

test('the trace has a slice on its core for each, and a span for each run', () => {
  const { traceEvents } = timelineTrace(played().runs);
  const events = traceEvents as { ph: string; tid: number; ts: number; dur: number; name: string }[];
  assert.equal(
    events.filter(({ ph }) => ph === 'X').map(({ name, ts, dur }) => [name, ts, dur]),
    [
      ['vad 2', 10_200, 20_000],
      ['a<b 1', 5_000, 5_200],
      ['a<b 1', 30_200, 14_800],
    ],
  );
  assert.equal(
    events.filter(({ ph }) => ph === 'b' || ph === 'e').map(({ ph, ts }) => [ph, ts]),
    [
      ['b', 10_000],
      ['e', 30_200],
      ['b', 0],
      ['e', 45_000],
    ],
  );
});

test.run();
