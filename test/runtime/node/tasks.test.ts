import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { TaskRunner } from '../../../runtime/node/task-runner.ts';
import { openTaskStore } from '../../../runtime/node/task-store.ts';
import { initialTasks, step, type TaskEffect, type TaskInput, type TaskState } from '../../../runtime/node/tasks.ts';
import type { Assignment, Content, Outcome, TaskEvent } from '../../../runtime/protocol/tasks.ts';
import { temporary } from '../../fleet/fleet-parts.ts';

const inference = (unit: string, fence: number, changes: object = {}): Assignment => ({
  ...{ unit, fence, priority: 'normal', deadlineAt: 1_000 },
  work: { kind: 'inference', model: 'm', format: 'json', inputs: [{ base64: 'AAAA' }] },
  ...changes,
});
const command = (unit: string, fence: number): Assignment =>
  inference(unit, fence, { work: { kind: 'command', command: 'logs', arguments: {} } });
const done: Outcome = { state: 'succeeded', results: [1] };

/** Feeds inputs one after the other and gives all effects. */
function play(inputs: readonly TaskInput[], before: TaskState = initialTasks('n1'), now = 10) {
  let state = before;
  const effects: TaskEffect[] = [];
  for (const input of inputs) {
    const next = step(state, input, now);
    state = next.state;
    effects.push(...next.effects);
  }
  const told = effects.flatMap((effect) => (effect.type === 'send' ? [effect.content] : []));
  const units = (type: string) => told.filter((content) => content.type === type).flatMap(({ data }) => data.units);
  const runs = effects.filter((effect) => effect.type === 'run');
  return {
    state,
    effects,
    runs,
    held: units('llmasos.tasks.held'),
    ended: units('llmasos.tasks.ended'),
    refused: units('llmasos.tasks.refused'),
  };
}
/** The state as the next process reads it: nothing of it is in work. */
const afterStop = (state: TaskState): TaskState => ({
  ...state,
  units: new Map([...state.units].map(([id, { run: _, ...unit }]) => [id, unit])),
});
const assigned = (...units: Assignment[]): TaskInput => ({ type: 'assigned', floor: 0, units });

test('a unit that is assigned twice runs once, and a later fence only renames its holder', () => {
  const { state, runs, held } = play([
    assigned(inference('a', 1)),
    assigned(inference('a', 1)),
    assigned(inference('a', 4)),
  ]);
  assert.is(runs.length, 1);
  assert.equal(
    held.map(({ fence }) => fence),
    [1, 4],
    'the first time it is told by the next tick',
  );
  const late = play([{ type: 'done', unit: 'a', run: 1, outcome: done }, assigned(inference('a', 2))], state);
  assert.equal(late.ended, [{ unit: 'a', fence: 4, outcome: done }]);
});

test('a unit that waits for an update keeps no other waiting, and goes on after every restart', () => {
  const update = inference('u', 1, { work: { kind: 'update', version: '2', sha256: 'a'.repeat(64) } });
  const { state, runs } = play([assigned(update), assigned(inference('a', 2))]);
  assert.equal(
    runs.map(({ assignment }) => assignment.unit),
    ['u', 'a'],
  );
  let kept = afterStop(state);
  for (let restart = 0; restart < 5; restart++) {
    const again = play([{ type: 'restarted' }], kept);
    assert.ok(again.runs.some(({ assignment }) => assignment.unit === 'u'));
    kept = afterStop(again.state);
  }
});

test('what is kept comes before what is sent', () => {
  const { effects } = play([assigned(inference('a', 1), inference('late', 2, { deadlineAt: 5, priority: 'safety' }))]);
  assert.equal(
    effects.map(({ type }) => type),
    ['keep', 'keep', 'keep', 'keep', 'run', 'send'],
  );
});

test('a unit that ends before the next tick is told once, by its outcome; one that lasts is told as held, and again every heartbeat', () => {
  const quick = play([
    assigned(inference('a', 1)),
    { type: 'done', unit: 'a', run: 1, outcome: done },
    { type: 'tick' },
    { type: 'tick' },
  ]);
  assert.equal(quick.held, []);
  assert.equal(quick.ended, [{ unit: 'a', fence: 1, outcome: done }]);
  const taken = play([assigned(inference('a', 1), inference('b', 2))]);
  assert.equal(taken.held, []);
  const told = play([{ type: 'tick' }, { type: 'tick' }], taken.state, 1_000);
  assert.equal(
    told.held.map(({ unit }) => unit),
    ['a', 'b'],
  );
  assert.equal(play([{ type: 'tick' }], told.state, 10_009).held, []);
  assert.is(play([{ type: 'tick' }], told.state, 10_010).held.length, 2);
});

test('an outcome is told again until it is settled, and a late copy of the assignment then starts nothing', () => {
  const first = play([
    assigned(inference('a', 1), inference('b', 2)),
    { type: 'done', unit: 'a', run: 1, outcome: done },
  ]);
  assert.is(play([{ type: 'connected' }], first.state).ended.length, 1);
  const settled = play(
    [{ type: 'settled', floor: 0, units: [{ unit: 'a', fence: 1 }] }, assigned(inference('a', 1))],
    first.state,
  );
  assert.equal(settled.refused, [{ unit: 'a', fence: 1, reason: 'stale' }]);
  const below = play([{ type: 'settled', floor: 1, units: [] }], settled.state);
  assert.is(below.state.gone.size, 0, 'below the floor nothing need be remembered');
  assert.is(play([assigned(inference('a', 1))], below.state).refused.length, 1);
});

test('a unit that was withdrawn before it came is not begun when it comes', () => {
  const { ended, refused, runs } = play([
    { type: 'withdrawn', units: [{ unit: 'a', fence: 3 }] },
    assigned(inference('a', 3)),
  ]);
  assert.equal(ended, [{ unit: 'a', fence: 3, outcome: { state: 'cancelled' } }]);
  assert.equal(refused, [{ unit: 'a', fence: 3, reason: 'stale' }]);
  assert.is(runs.length, 0);
});

test('an urgent unit is begun beside a background one, and of one class one at a time', () => {
  const units = [1, 2, 3].map((fence) => inference(`b${fence}`, fence, { priority: 'background' }));
  const { runs } = play([assigned(...units), assigned(inference('urgent', 4, { priority: 'safety' }))]);
  assert.equal(
    runs.map(({ assignment }) => assignment.unit),
    ['b1', 'urgent'],
  );
});

test('after a stop inference is begun again, but not for ever; a command is not begun a second time', () => {
  const first = play([
    assigned(inference('a', 1), inference('b', 2, { work: command('b', 2).work, priority: 'safety' })),
  ]);
  const second = play([{ type: 'restarted' }], afterStop(first.state));
  assert.equal(
    second.runs.map(({ assignment }) => assignment.unit),
    ['a'],
  );
  assert.match(
    JSON.stringify(second.ended),
    /"failed","error":"node \\"n1\\" stopped while it was being done; it may have had/,
  );
  const third = play([{ type: 'restarted' }], afterStop(second.state));
  assert.is(third.runs.length, 0);
  assert.match(JSON.stringify(third.ended), /stopped each of the 2 times that it was begun/);
});

test('nothing is begun after its deadline', () => {
  const { ended, runs } = play([assigned(inference('a', 1))], undefined, 1_001);
  assert.is(runs.length, 0);
  assert.equal(ended, [{ unit: 'a', fence: 1, outcome: { state: 'expired' } }]);
});

test('more than fits is refused, and one unit that cannot be read does not stop the others', () => {
  const many = Array.from({ length: 260 }, (_, index) => inference(`u${index}`, index + 1));
  assert.equal(
    play([assigned(...many)]).refused.map((unit) => 'reason' in unit && unit.reason),
    ['full', 'full', 'full', 'full'],
  );
  const sent: Content<TaskEvent>[] = [];
  const store = openTaskStore(join(temporary(), 'tasks.db'));
  const runner = new TaskRunner(
    { node: 'n1', store, now: () => 10, send: (content) => sent.push(content), run() {}, log() {} },
    store.load(),
  );
  const units = [inference('good', 1), { unit: 'odd', fence: 2, work: { kind: 'dance' } }];
  const message = { specversion: '1.0', id: 'm', source: '/controller', time: new Date(0).toISOString() };
  const bytes = (value: object) => new TextEncoder().encode(JSON.stringify(value));
  runner.receive('t', bytes({ ...message, type: 'llmasos.tasks.assigned', data: { floor: 0, units } }));
  runner.tick();
  assert.equal(
    sent.map(({ type }) => type),
    ['llmasos.tasks.refused', 'llmasos.tasks.held'],
  );
  assert.match(JSON.stringify(sent[0]), /"unsupported","error":"priority: /);
  assert.throws(() => runner.receive('t', bytes({ type: 'x' })), /^t: specversion: /);
  store.close();
});

test('what is on the disk is what was known, and a disk that refuses undoes the event', () => {
  const file = join(temporary(), 'tasks.db');
  const store = openTaskStore(file);
  let full = false;
  const sent: Content<TaskEvent>[] = [];
  let finish: (outcome: Outcome) => void = () => {};
  const ports = {
    ...{ node: 'n1', now: () => 10, log() {} },
    store: {
      commit(changes: Parameters<typeof store.commit>[0]) {
        if (full) throw new Error('disk is full');
        store.commit(changes);
      },
    },
    send: (content: Content<TaskEvent>) => void sent.push(content),
    run: (_: Assignment, __: AbortSignal, end: typeof finish) => {
      finish = end;
    },
  };
  const runner = new TaskRunner(ports, store.load());
  const envelope = { specversion: '1.0', id: 'm', source: '/controller', time: new Date(0).toISOString() };
  const tell = (type: string, data: object) =>
    runner.receive('t', new TextEncoder().encode(JSON.stringify({ ...envelope, type: `llmasos.tasks.${type}`, data })));
  full = true;
  tell('assigned', { floor: 0, units: [inference('a', 1)] });
  assert.is(sent.length, 0, 'what is not kept is not confirmed');
  full = false;
  tell('assigned', { floor: 0, units: [inference('a', 1)] });
  runner.tick();
  full = true;
  finish(done);
  assert.equal(
    sent.map(({ type }) => type),
    ['llmasos.tasks.held'],
  );
  full = false;
  runner.tick();
  assert.equal(sent.map(({ type }) => type).slice(0, 2), ['llmasos.tasks.held', 'llmasos.tasks.ended']);
  tell('settled', { floor: 0, units: [] });
  store.close();
  const again = openTaskStore(file);
  assert.equal(again.load().units.get('a')?.outcome, done);
  again.close();
});

test.run();
