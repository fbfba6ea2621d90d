/** A couple of hundred small fleets; `npm run sim` does as many and as large as one likes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { simulate } from '../../../fleet/simulator/simulation.ts';
import { CRASH_POINTS } from '../../../fleet/simulator/world.ts';

const SEEDS = 200;
const FIRST = Number(process.env.SEED ?? 20_261_130);
const small = { nodes: 8, faultMs: 150_000, healMs: 400_000 };

test('no task is lost or takes effect twice, no rollout is left half-way, no node ends on a version of its program that does not run, and every fleet comes to rest as it was asked, whatever stops where', () => {
  console.log(`seeds from ${FIRST}; another first one: SEED=n`);
  const crashes = new Map<string, number>();
  const tasks: Record<string, number> = {};
  const rollouts: Record<string, number> = {};
  const trials = { proved: 0, givenUp: 0 };
  for (let seed = FIRST; seed < FIRST + SEEDS; seed++) {
    const result = simulate({ seed, ...small });
    assert.equal(result.violations, [], `seed ${seed}`);
    for (const [point, count] of result.crashes) crashes.set(point, (crashes.get(point) ?? 0) + count);
    trials.proved += result.trials.proved;
    trials.givenUp += result.trials.givenUp;
    for (const [state, count] of Object.entries(result.tasks)) tasks[state] = (tasks[state] ?? 0) + count;
    for (const [state, count] of Object.entries(result.rollouts)) rollouts[state] = (rollouts[state] ?? 0) + count;
  }
  const unseen = Object.keys(CRASH_POINTS).filter((point) => !crashes.has(point));
  assert.equal(unseen, [], 'every crash point was visited');
  assert.ok(Math.min(trials.proved, trials.givenUp) > 50, `versions of programs: ${JSON.stringify(trials)}`);
  for (const state of ['succeeded', 'failed', 'cancelled', 'expired'])
    assert.ok((tasks[state] ?? 0) > 20, `saw ${tasks[state]} tasks ${state}`);
  for (const state of ['finished', 'stopped'])
    assert.ok((rollouts[state] ?? 0) > 20, `saw ${rollouts[state]} rollouts ${state}`);
});

test('a seed is one life: again it is the same, step by step', () => {
  const lives = [1, 2].map(() => {
    const lines: string[] = [];
    const { steps } = simulate({ seed: 9, ...small, trace: (line) => lines.push(line) });
    return { steps, lines };
  });
  assert.ok((lives[0]?.lines.length ?? 0) > 50);
  assert.equal(lives[0], lives[1]);
});

test('what breaks a law is seen: a fleet that has no time to heal has not come to rest', () => {
  const found = Array.from({ length: 15 }, (_, seed) => simulate({ seed, ...small, healMs: 0 }).violations).flat();
  for (const law of [/has not ended/, /has not come back|is to run|has not settled/])
    assert.ok(
      found.some((violation) => law.test(violation)),
      `${law} among ${found.length} violations`,
    );
});

test.run();
