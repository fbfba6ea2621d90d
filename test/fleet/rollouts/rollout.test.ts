/** The machine of rollouts: phases, gates, the way back, and random lives that all have to end. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { CANCELED, failure, type Progress, SCHEDULED } from '../../../fleet/rollouts/progress.ts';
import {
  advance,
  gets,
  isActive,
  newRollout,
  paused,
  resumed,
  type Sight,
  type Step,
  stopping,
  tally,
} from '../../../fleet/rollouts/rollout.ts';
import { rolloutSpecSchema } from '../../../fleet/rollouts/spec.ts';
import { Random } from '../../random.ts';

const SUCCESS: Progress = { execution: 'closed', finished: 'success', details: null };
const target = { kind: 'model', model: 'm', version: 2 };
const fleet = (count: number, online = true) =>
  Array.from({ length: count }, (_, index) => ({
    name: `n${index}`,
    labels: { site: index % 4 === 0 ? 'north' : 'south' },
    online,
  }));
const spec = (changes: object = {}) =>
  rolloutSpecSchema.parse({ target, soakMs: 5_000, phaseTimeoutMs: 60_000, ...changes });

/** A fleet in which every node does at once what it is told, but those in the four sets. */
function life(step: Step) {
  const failing = new Set<string>();
  const away = new Set<string>();
  const silent = new Set<string>();
  const unused = new Set<string>();
  const sees = (name: string): Sight => {
    const isBack = step.rollout.state === 'stopping';
    if (unused.has(name)) return { isAble: true, progress: CANCELED };
    const progress =
      away.has(name) || silent.has(name) ? SCHEDULED : failing.has(name) && !isBack ? failure('it failed') : SUCCESS;
    return { isAble: !away.has(name), progress };
  };
  let now = 0;
  return {
    ...{ failing, away, silent, unused },
    get step() {
      return step;
    },
    pass(ms: number) {
      for (const end = now + ms; now < end && isActive(step.rollout); now += 1_000)
        step = advance(step, sees, 1_000, now);
    },
    change(to: (step: Step) => Step) {
      step = to(step);
    },
    given: () => step.nodes.filter((node) => gets(step.rollout, node)).length,
  };
}

test('phases come one after the other: by number, by share of all, by label, and the rest', () => {
  const { nodes } = newRollout(
    'r',
    spec({ phases: [{ nodes: 2 }, { percent: 25 }, { labels: { site: 'north' } }] }),
    fleet(20),
    0,
  );
  const sizes = [0, 1, 2, 3].map((phase) => nodes.filter((node) => node.phase === phase).length);
  assert.equal([sizes[0], sizes[1], sizes.reduce((sum, size) => sum + size, 0)], [2, 3, 20]);
  const north = nodes.filter(({ node }) => Number(node.slice(1)) % 4 === 0);
  assert.ok(north.every(({ phase }) => phase <= 2));
  assert.ok(nodes.filter(({ phase }) => phase === 2).every(({ node }) => Number(node.slice(1)) % 4 === 0));
  const again = newRollout(
    'r',
    spec({ phases: [{ nodes: 2 }, { percent: 25 }, { labels: { site: 'north' } }] }),
    fleet(20).reverse(),
    0,
  );
  assert.equal(again.nodes, nodes, 'the order of the nodes does not depend on the order in which they are read');
});

test('every phase waits for its nodes, then is watched; at the end all have it', () => {
  const run = life(newRollout('r', spec({ phases: [{ nodes: 1 }, { percent: 50 }] }), fleet(10), 0));
  const [canary] = run.step.nodes.filter(({ phase }) => phase === 0);
  run.silent.add(canary?.node as string);
  run.pass(20_000);
  assert.equal([run.step.rollout.stage, run.given()], ['update', 1]);
  run.silent.clear();
  run.pass(4_000);
  assert.equal([run.step.rollout.stage, run.given()], ['soak', 1]);
  run.pass(4_000);
  assert.is(run.given(), 5);
  run.pass(60_000);
  assert.equal([run.step.rollout.state, run.step.rollout.reason], ['finished', '10 of 10 nodes have it']);
});

test('one failure too many takes it back everywhere, and says which node failed and why', () => {
  const run = life(newRollout('r', spec({ phases: [{ nodes: 1 }, { nodes: 4 }] }), fleet(10), 0));
  const bad = run.step.nodes.find(({ phase }) => phase === 1)?.node as string;
  run.failing.add(bad);
  run.pass(7_000);
  assert.is(run.step.rollout.state, 'stopping');
  assert.is(run.given(), 0);
  run.pass(2_000);
  assert.is(run.step.rollout.state, 'stopped');
  assert.is(run.step.rollout.reason, `1 of 5 nodes failed, none may: ${bad}: it failed`);
  assert.equal(tally(run.step.nodes), { success: 0, failure: 0, canceled: 10, open: 0 });
  assert.is(run.step.nodes.find(({ node }) => node === bad)?.details, 'it failed');
});

test('failures within the share that is allowed do not stop it', () => {
  const run = life(newRollout('r', spec({ phases: [{ nodes: 10 }], failurePercentMax: 10 }), fleet(10), 0));
  run.failing.add('n3');
  run.pass(60_000);
  assert.is(run.step.rollout.reason, '9 of 10 nodes have it, 1 failed');
});

test('nodes that have no use for it any more make the share of failures no smaller', () => {
  const run = life(newRollout('r', spec({ phases: [{ nodes: 10 }], failurePercentMax: 10 }), fleet(10), 0));
  run.failing.add(run.step.nodes[0]?.node ?? '');
  for (const { node } of run.step.nodes.slice(2)) run.unused.add(node);
  run.pass(100_000);
  assert.is(run.step.rollout.state, 'stopped', 'one of two failed');
  assert.match(run.step.rollout.reason ?? '', /^1 of 2 nodes failed, at most 10% may/);
});

test('nodes that are away, or held, are left behind; a phase of which nobody is there is given up', () => {
  const one = life(newRollout('r', spec({ phases: [{ nodes: 2 }] }), fleet(6), 0));
  const [first, second] = one.step.nodes.filter(({ phase }) => phase === 0).map(({ node }) => node) as [string, string];
  one.away.add(first);
  one.pass(60_000);
  assert.is(one.step.rollout.reason, '5 of 6 nodes have it; 1 away take it when they are back');
  const none = life(newRollout('r', spec({ phases: [{ nodes: 2 }] }), fleet(6), 0));
  for (const name of [first, second]) none.away.add(name);
  none.pass(200_000);
  assert.is(none.step.rollout.state, 'stopped');
  assert.match(
    none.step.rollout.reason ?? '',
    /^no node of phase 1 \(2\) was there, and free to change, for 60 s; 2 that/,
  );
});

test('a node that is there and does not finish in time has failed', () => {
  const run = life(newRollout('r', spec(), fleet(3), 0));
  run.silent.add(run.step.nodes[0]?.node as string);
  run.pass(200_000);
  assert.is(run.step.rollout.state, 'stopped');
  assert.match(run.step.rollout.reason ?? '', /not done within 60 s of the phase/);
});

test('nodes that are there come before others, so that a canary answers', () => {
  const nodes = [...fleet(9, false), { name: 'there', labels: {}, online: true }];
  assert.is(newRollout('r', spec(), nodes, 0).nodes[0]?.node, 'there');
});

test('paused, nobody else gets it and time stands still; resumed, it goes on; aborted, it goes back', () => {
  const run = life(newRollout('r', spec({ phases: [{ nodes: 1 }] }), fleet(4), 0));
  run.pass(2_000);
  run.change(({ rollout, nodes }) => ({ rollout: paused(rollout), nodes }));
  run.pass(500_000);
  assert.equal([run.step.rollout.state, run.given()], ['paused', 1]);
  run.change(({ rollout, nodes }) => ({ rollout: resumed(rollout), nodes }));
  run.pass(7_000);
  assert.is(run.given(), 4);
  run.change((step) => stopping(step, 'aborted'));
  run.pass(5_000);
  assert.equal([run.step.rollout.state, run.step.rollout.reason], ['stopped', 'aborted']);
});

test('whatever nodes do, a rollout ends in a stated outcome', () => {
  const seed = Number(process.env.SEED ?? (Math.random() * 2 ** 31) | 0);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  const ends: Record<string, number> = {};
  for (let round = 0; round < 300; round++) {
    const phases = [{ nodes: 1 + random.below(3) }, { percent: 1 + random.below(99) }];
    const run = life(
      newRollout(`r${round}`, spec({ phases, failurePercentMax: random.below(30) }), fleet(1 + random.below(30)), 0),
    );
    for (let turn = 0; turn < 60; turn++) {
      const name = `n${random.below(30)}`;
      const set = [run.failing, run.away, run.silent][random.below(3)] as Set<string>;
      if (!set.delete(name) && random.next() < 0.3) set.add(name);
      if (random.next() < 0.02) run.change(({ rollout, nodes }) => ({ rollout: paused(rollout), nodes }));
      if (random.next() < 0.1) run.change(({ rollout, nodes }) => ({ rollout: resumed(rollout), nodes }));
      if (random.next() < 0.005) run.change((step) => stopping(step, 'aborted'));
      // As a controller that was killed reads it again.
      run.change((step) => JSON.parse(JSON.stringify(step)));
      run.pass(10_000);
    }
    run.change(({ rollout, nodes }) => ({ rollout: resumed(rollout), nodes }));
    run.pass(500_000);
    const { rollout, nodes } = run.step;
    assert.not.ok(isActive(rollout), `seed ${seed}, round ${round}: ${JSON.stringify(rollout)}`);
    assert.ok(rollout.reason && rollout.endedAt !== null);
    if (rollout.state === 'stopped') assert.is(tally(nodes).success, 0);
    ends[rollout.state] = (ends[rollout.state] ?? 0) + 1;
  }
  assert.ok((ends.finished ?? 0) > 5 && (ends.stopped ?? 0) > 5, JSON.stringify(ends));
});

test.run();
