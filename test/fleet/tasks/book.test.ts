import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { LEASE_MS, TaskBook } from '../../../fleet/tasks/book.ts';
import { Fences } from '../../../fleet/tasks/fences.ts';
import { type TaskSpec, taskSpecSchema } from '../../../fleet/tasks/task.ts';
import type { Outcome } from '../../../runtime/protocol/tasks.ts';

const facts = (name: string, labels = {}) => ({ name, labels, ready: new Set(['m']) });
const spec = (changes: object = {}): TaskSpec =>
  taskSpecSchema.parse({
    work: { kind: 'inference', model: 'm', format: 'json', inputs: [{ base64: 'AAAA' }] },
    ...changes,
  });
const logs = (changes: object = {}) => spec({ work: { kind: 'command', command: 'logs' }, ...changes });
const done: Outcome = { state: 'succeeded', results: [7] };

function newBook() {
  const book = new TaskBook({ tasks: [], units: [], fence: 0 }, 0);
  const take = () => {
    const { changes, messages } = book.takeChanges();
    const told = messages.flatMap(({ node, content }) =>
      content.data.units.map(
        ({ unit, fence }) => `${content.type.slice('llmasos.tasks.'.length)} ${node} ${unit} ${fence}`,
      ),
    );
    return { changes, told };
  };
  const held = (node: string, unit: string, fence: number, now = 1) =>
    book.receive(node, { type: 'llmasos.tasks.held', data: { floor: 0, units: [{ unit, fence }] } }, now);
  const ended = (node: string, unit: string, fence: number, outcome = done, now = 1) =>
    book.receive(node, { type: 'llmasos.tasks.ended', data: { floor: 0, units: [{ unit, fence, outcome }] } }, now);
  /** Outcomes are confirmed by the tick after the next. */
  const takeSettled = (now = 1) => {
    book.tick(now);
    book.tick(now);
    return take();
  };
  return { book, take, takeSettled, held, ended };
}

test('the outcome of a holder that was given up counts for nothing, and both are told to forget', () => {
  const { book, take, takeSettled, held, ended } = newBook();
  book.add('t', spec(), [], 0);
  book.dispatch([facts('a')], 0);
  assert.equal(take().told, ['assigned a t.0 1']);
  held('a', 't.0', 1, 5);
  book.tick(5 + LEASE_MS + 1);
  book.dispatch([facts('b')], 2 * LEASE_MS);
  assert.equal(take().told, ['assigned b t.0 2']);
  held('a', 't.0', 1);
  assert.equal(take().told, ['settled a t.0 1'], 'it is at work in vain');
  ended('a', 't.0', 1);
  assert.equal(takeSettled().told, ['settled a t.0 1']);
  assert.is(book.get('t')?.state, 'active');
  ended('b', 't.0', 2);
  ended('b', 't.0', 2);
  const { changes, told } = takeSettled();
  assert.equal(told, ['settled b t.0 2', 'settled b t.0 2']);
  assert.equal([changes.tasks[0]?.state, changes.results.length], ['succeeded', 1]);
});

test('a holder that comes back before anybody else has it goes on', () => {
  const { book, take, held, ended } = newBook();
  book.add('t', spec(), [], 0);
  book.dispatch([facts('a')], 0);
  held('a', 't.0', 1);
  book.tick(LEASE_MS + 100);
  take();
  held('a', 't.0', 1, LEASE_MS + 200);
  ended('a', 't.0', 1, done, LEASE_MS + 300);
  assert.is(take().changes.tasks[0]?.state, 'succeeded');
});

test('an assignment that was lost is given to its node again, under its fence, until that has confirmed it', () => {
  const { book, take, held } = newBook();
  book.add('t', spec(), [], 0);
  book.dispatch([facts('a')], 0);
  take();
  const repeated = (node: string, now: number) => {
    book.repeat([facts(node)], now);
    return take().told;
  };
  assert.equal(repeated('a', 1_000), [], 'its answer is on the way');
  assert.equal(repeated('b', 20_000), [], 'its node is away');
  assert.equal(repeated('a', 21_000), ['assigned a t.0 1'], 'its node is back');
  assert.equal(repeated('a', 22_000), []);
  assert.equal(repeated('a', 26_000), []);
  assert.equal(repeated('a', 31_000), ['assigned a t.0 1']);
  held('a', 't.0', 1, 32_000);
  assert.equal(repeated('a', 40_000), []);
  const unheard = newBook();
  unheard.book.add('t', spec(), [], 0);
  unheard.book.dispatch([facts('a')], 0);
  unheard.book.repeat([facts('a')], LEASE_MS);
  unheard.book.tick(LEASE_MS + 1);
  unheard.take();
  unheard.book.dispatch([facts('b')], LEASE_MS + 1);
  assert.equal(unheard.take().told, ['assigned b t.0 2'], 'telling it again does not prolong the lease');
});

/** Over so many seconds: how often `repeat` and leases that end have a silent node told. */
function timesTold(seconds: number, each: (book: TaskBook, now: number) => void = () => {}): number[] {
  const { book, take } = newBook();
  book.add('t', spec(), [], 0);
  const times: number[] = [];
  for (let now = 0; now <= seconds * 1_000; now += 1_000) {
    each(book, now);
    book.tick(now);
    book.repeat([facts('a')], now);
    book.dispatch([facts('a')], now);
    if (take().told.length > 0) times.push(now / 1_000);
  }
  return times;
}

test('a node that does not answer is told less and less often, and at once when it has connected', () => {
  // A lease ends after thirty seconds: then it is given anew.
  assert.equal(timesTold(125), [0, 5, 15, 31, 62, 93, 124]);
  const reconnected = timesTold(80, (book, now) => now === 70_000 && book.nodeCame('a', now));
  assert.equal(reconnected, [0, 5, 15, 31, 62, 70, 75]);
});

test('what is withdrawn is told again soon while its node is heard, and less and less often while it is not', () => {
  const { book, take, held } = newBook();
  book.add('t', spec(), [], 0);
  book.dispatch([facts('a')], 0);
  held('a', 't.0', 1, 1_000);
  take();
  const times: number[] = [];
  for (let now = 2_000; now <= 60_000; now += 1_000) {
    if (now === 2_000) book.cancel('t', now);
    if (now === 25_000) held('a', 't.0', 1, now);
    book.tick(now);
    if (take().told.length > 0) times.push(now / 1_000);
  }
  assert.equal(times, [2, 7, 17, 30, 35, 45], 'then its lease ends');
});

test('an assignment that nobody confirmed is no attempt; one that was begun and never ended is', () => {
  const { book, take, held } = newBook();
  book.add('t', spec({ attemptsMax: 2 }), [], 0);
  let now = 0;
  for (let round = 0; round < 5; round++) {
    book.dispatch([facts('a')], now);
    now += LEASE_MS + 1;
    book.tick(now);
  }
  assert.is(take().changes.units[0]?.attempts, 0);
  for (let attempt = 0; attempt < 2; attempt++) {
    now += 60_000;
    book.dispatch([facts('a')], now);
    const fence = Number(take().told[0]?.split(' ').at(-1));
    held('a', 't.0', fence, now);
    now += LEASE_MS + 1;
    book.tick(now);
  }
  const { changes } = take();
  assert.equal([changes.tasks[0]?.state, changes.units[0]?.error], ['failed', 'node "a" was silent for too long']);
});

test('a node that failed is avoided while there is another', () => {
  const { book, take, ended } = newBook();
  book.add('t', spec(), [], 0);
  book.dispatch([facts('a'), facts('b')], 0);
  assert.equal(take().told, ['assigned a t.0 1']);
  ended('a', 't.0', 1, { state: 'failed', error: 'no' });
  take();
  book.dispatch([facts('a'), facts('b')], 10_000);
  assert.equal(take().told, ['assigned b t.0 2']);
});

test('a command goes to each node once: when its node was silent, only that node can say what became of it', () => {
  const { book, take, held, ended } = newBook();
  book.add('t', logs(), ['a', 'b'], 0);
  book.dispatch([facts('a'), facts('b')], 0);
  assert.equal(take().told, ['assigned a t.0 1', 'assigned b t.1 2']);
  held('a', 't.0', 1);
  ended('b', 't.1', 2);
  book.tick(LEASE_MS + 2);
  book.dispatch([facts('a'), facts('b')], LEASE_MS + 2);
  assert.equal(take().told, ['assigned a t.0 3']);
  book.tick(LEASE_MS + 3);
  assert.equal(take().told, ['settled b t.1 2']);
  // Said before it heard of the third assignment.
  ended('a', 't.0', 1);
  assert.is(take().changes.tasks[0]?.state, 'succeeded');
});

test('many outcomes of one node are confirmed at once, and few with what goes to it anyway', () => {
  const { book, take, ended } = newBook();
  const inputs = Array(70).fill({ base64: 'AAAA' });
  book.add('t', spec({ work: { ...spec().work, inputs, inputsPerUnit: 1 } }), [], 0);
  book.dispatch([facts('a')], 0);
  assert.is(take().told.length, 64);
  for (let index = 0; index < 63; index++) ended('a', `t.${index}`, index + 1);
  assert.equal(take().told, []);
  ended('a', 't.63', 64);
  assert.is(take().told.length, 64);
  book.dispatch([facts('a')], 2);
  take();
  ended('a', 't.64', 65);
  book.add('u', spec(), [], 3);
  book.dispatch([facts('a')], 3);
  assert.equal(take().told, ['settled a t.64 65', 'assigned a u.0 71']);
});

test('cancelled: what waits ends at once, what is out when its node says so or its lease ends', () => {
  const { book, take, ended } = newBook();
  book.add('t', spec({ work: { ...spec().work, inputs: Array(3).fill({ base64: 'AAAA' }), inputsPerUnit: 1 } }), [], 0);
  book.dispatch([facts('a')], 0);
  take();
  book.cancel('t', 1);
  assert.equal(take().told, ['withdrawn a t.0 1', 'withdrawn a t.1 2', 'withdrawn a t.2 3']);
  ended('a', 't.0', 1);
  ended('a', 't.1', 2, { state: 'cancelled' });
  book.tick(7_000);
  assert.equal(take().told, ['withdrawn a t.2 3', 'settled a t.0 1', 'settled a t.1 2'], 'in one mail');
  book.tick(LEASE_MS + 8_000);
  const { changes } = take();
  assert.is(changes.tasks[0]?.state, 'cancelled');
  assert.match(changes.units.at(-1)?.error ?? '', /it may have done it/);
});

test('at its deadline a task expires, wherever its units are', () => {
  const { book, take } = newBook();
  book.add('waits', spec({ timeoutMs: 1_000 }), [], 0);
  book.tick(1_001);
  assert.is(take().changes.tasks.at(-1)?.state, 'expired');
});

test('urgent tasks go first, and always find room where background fills a node', () => {
  const { book, take } = newBook();
  const inputs = Array(200).fill({ base64: 'AAAA' });
  book.add('night', spec({ priority: 'background', work: { ...spec().work, inputs, inputsPerUnit: 1 } }), [], 0);
  book.add('urgent', spec({ priority: 'safety' }), [], 1);
  book.dispatch([facts('a')], 1);
  const first = take().told;
  assert.is(first[0], 'assigned a urgent.0 1');
  assert.is(first.length, 32);
  book.add('again', spec({ priority: 'interactive' }), [], 2);
  book.dispatch([facts('a')], 2);
  assert.equal(take().told, ['assigned a again.0 33']);
});

test('a selector is obeyed', () => {
  const { book, take } = newBook();
  book.add('t', spec({ selector: { labels: { site: 'x' } } }), [], 0);
  book.dispatch([facts('a', { site: 'y' }), { ...facts('b', { site: 'x' }), ready: new Set() }], 0);
  assert.equal(take().told, []);
  book.dispatch([facts('a', { site: 'y' }), facts('c', { site: 'x' })], 0);
  assert.equal(take().told, ['assigned c t.0 1']);
});

test('a controller that lost its data goes on above what its nodes have heard', () => {
  const { book, take } = newBook();
  book.add('t', spec(), [], 0);
  book.dispatch([facts('a')], 0);
  take();
  const refusal = { unit: 't.0', fence: 1, reason: 'stale' as const };
  book.receive('a', { type: 'llmasos.tasks.refused', data: { floor: 900, units: [refusal] } }, 1);
  book.dispatch([facts('a')], 1);
  const { changes, told } = take();
  assert.equal(told, ['assigned a t.0 901']);
  assert.is(changes.fence, 901);
});

test('more than a controller may hold is refused with what to do', () => {
  const { book } = newBook();
  const inputs = Array(10_000).fill({ base64: 'AAAA' });
  const large = spec({ work: { ...spec().work, inputs, inputsPerUnit: 1 } });
  for (let index = 0; index < 20; index++) book.add(`t${index}`, large, [], 0);
  assert.throws(() => book.add('one more', spec(), [], 0), /put more inputs in a unit, or wait/);
});

test('a book beside others gives fences of its own block only, and lets nodes forget what no book has out', () => {
  const fences = Fences.shared();
  const book = new TaskBook({ tasks: [], units: [], fence: 0 }, 0, fences);
  const nodes = [facts('a')];
  const give = (now: number) => {
    book.dispatch(nodes, now);
    return book.takeChanges();
  };
  const inputs = [1, 2, 3].map(() => ({ base64: 'AAAA' }));
  const work = { kind: 'inference', model: 'm', format: 'json', inputs, inputsPerUnit: 1 };
  book.add('t', spec({ work }), [], 0);
  assert.equal(give(1).messages, []);
  fences.grant(100, 102, 50);
  const { changes, messages } = give(2);
  assert.equal(
    changes.units.filter(({ fence }) => fence > 0).map(({ fence }) => fence),
    [101, 102],
  );
  // Kept by whoever gives blocks.
  assert.is(changes.fence, undefined);
  assert.equal(
    messages.map(({ content }) => content.data.floor),
    [49],
  );
  assert.is(book.lowest, 101);
  fences.grant(200, 300, 180);
  const later = give(3);
  assert.equal(
    later.changes.units.map(({ fence }) => fence),
    [201],
  );
  // 101 is out at this node, though others are further on.
  assert.equal(
    later.messages.map(({ content }) => content.data.floor),
    [100],
  );
});

/** An assignment under fence 2 may be on its way still, and would be begun by who has settled only fence 1. */
test('a command that has ended is settled under the last fence that it had, whichever the node names, also by a later book', () => {
  const { book, take, takeSettled, held, ended } = newBook();
  book.add('t', logs(), ['a', 'b'], 0);
  book.dispatch([facts('a'), facts('b')], 0);
  assert.equal(take().told, ['assigned a t.0 1', 'assigned b t.1 2']);
  held('a', 't.0', 1, 5);
  held('b', 't.1', 2, LEASE_MS);
  book.tick(5 + LEASE_MS + 1);
  book.dispatch([facts('a')], 2 * LEASE_MS);
  assert.equal(take().told, ['assigned a t.0 3']);
  ended('a', 't.0', 1, done, 2 * LEASE_MS);
  ended('a', 't.0', 1, done, 2 * LEASE_MS);
  const { changes, told } = takeSettled();
  assert.equal(told, ['settled a t.0 3', 'settled a t.0 3']);
  assert.is(changes.units.find(({ index }) => index === 0)?.state, 'succeeded');
  const later = new TaskBook({ tasks: [], units: [], fence: 3 }, 0);
  later.receive('a', { type: 'llmasos.tasks.held', data: { floor: 0, units: [{ unit: 't.0', fence: 1 }] } }, 1);
  assert.equal(later.takeChanges().messages[0]?.content.data.units, [{ unit: 't.0', fence: 3 }]);
});

test('a book beside others answers for its own tasks, those that ended too, and gives back the rest', () => {
  const fences = Fences.shared();
  const book = new TaskBook({ tasks: [], units: [], fence: 0 }, 0, fences);
  fences.grant(100, 200, 100);
  book.add('t', spec(), [], 0);
  book.dispatch([facts('a')], 1);
  book.takeChanges();
  const tell = (unit: string, fence: number) =>
    book.receive('a', { type: 'llmasos.tasks.ended', data: { floor: 0, units: [{ unit, fence, outcome: done }] } }, 2);
  const settled = () => {
    book.tick(3);
    book.tick(4);
    return book
      .takeChanges()
      .messages.flatMap(({ content }) =>
        content.type === 'llmasos.tasks.settled' ? content.data.units.map(({ unit }) => unit) : [],
      );
  };
  assert.equal(tell('others.0', 7), [{ unit: 'others.0', fence: 7 }]);
  assert.equal(settled(), []);
  assert.equal(tell('t.0', 101), []);
  assert.equal(settled(), ['t.0']);
  // Its confirmation was lost, and the task is in no book any more.
  assert.equal(tell('t.0', 101), []);
  assert.equal(settled(), ['t.0']);
  book.settle('a', { unit: 'others.0', fence: 7 });
  assert.equal(settled(), ['others.0']);
});

test.run();
