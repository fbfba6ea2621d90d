/** The launcher's choices and the node's machine of versions together, stopped at any point, again and again. */
import { randomInt } from 'node:crypto';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as launch from '../../../devices/gateway/launch-state.ts';
import {
  describeSoftware,
  initialSoftware,
  PROVE_MS,
  SETTLE_MS,
  type SoftwareEffect,
  type SoftwareState,
  step,
} from '../../../runtime/node/software.ts';
import type { Software } from '../../../runtime/protocol/software.ts';
import { Random } from '../../random.ts';

const sha = (character: string): string => character.repeat(64);
const version = (character: string): Software => ({ version: character, sha256: sha(character), bytes: 1 });
/** What a version does when it is started; `sound` ones prove themselves. */
const nature: Record<string, 'sound' | 'crashes' | 'sick'> = {
  [sha('a')]: 'sound',
  [sha('b')]: 'sound',
  [sha('c')]: 'crashes',
  [sha('d')]: 'sick',
};
const natureOf = (program: string | null) => (program === null ? 'sound' : nature[program]);

test('a version that ends at once is started three times, then the good one comes back with the reason', () => {
  let state = launch.tried({ ...launch.FIRST, good: sha('a') }, sha('c'));
  for (let start = 1; start <= launch.STARTS_MAX; start++) {
    state = launch.starting(state);
    assert.is(launch.chosen(state), sha('c'));
    state = launch.ended(state, 'exit code 1');
  }
  assert.is(launch.chosen(state), sha('a'));
  assert.match(state.rejected?.error as string, /each of the 3 times .*exit code 1/);
});

test('a power cut during each start on trial leads back to the good version too', () => {
  let state = launch.tried(launch.FIRST, sha('a'));
  for (let cut = 0; cut < launch.STARTS_MAX; cut++)
    state = launch.readLaunchState(JSON.stringify(launch.starting(state)));
  state = launch.starting(state);
  assert.is(launch.chosen(state), null);
  assert.is(state.rejected?.program, sha('a'));
});

test('what the launcher kept is refused when it is anything else', () => {
  for (const text of ['', '{}', '{"good":1}', '{"good":null,"trial":{"program":"x","starts":0},"rejected":null}'])
    assert.throws(() => launch.readLaunchState(text));
});

/** A machine: its disk, and what runs on it at present. */
class Machine {
  readonly random: Random;
  /** Disk. */
  kept = launch.FIRST;
  readonly installed = new Set<string>();
  readyBefore: readonly string[] = [];
  /** Process. */
  node: SoftwareState | undefined;
  wanted: Software | undefined;
  hold: string | null = null;
  now = 0;
  startedAt = 0;
  downloads = 0;
  isSafe = true;

  constructor(seed: number) {
    this.random = new Random(seed);
  }

  /** True when the power is cut right here. */
  cut(): boolean {
    if (!this.isSafe && this.random.happens(0.04)) this.node = undefined;
    return this.node === undefined;
  }

  start(): void {
    this.kept = launch.starting(this.kept);
    if (!this.isSafe && this.random.happens(0.04)) return;
    const program = launch.chosen(this.kept);
    assert.ok(program === null || this.installed.has(program), 'only what is whole on the disk is started');
    if (natureOf(program) === 'crashes') {
      this.kept = launch.ended(this.kept, 'exit code 1');
      return;
    }
    const { rejected, trial } = this.kept;
    const told = rejected && { sha256: rejected.program ?? undefined, error: rejected.error };
    const launched = { version: 'x', sha256: program ?? undefined, isTrial: trial !== null, rejected: told };
    this.node = initialSoftware(launched, this.readyBefore);
    this.startedAt = this.now;
    this.send({ type: 'wanted', software: this.wanted });
  }

  send(event: Parameters<typeof step>[1]): void {
    if (!this.node) return;
    const { state, effects } = step(this.node, event, this.now);
    this.node = state;
    for (const effect of effects) if (!this.cut()) this.carryOut(effect);
  }

  carryOut(effect: SoftwareEffect): void {
    if (effect.type === 'fetch') {
      this.downloads++;
      const { sha256 } = effect.software;
      const isBroken = !this.isSafe && this.random.happens(0.3);
      if (!isBroken && sha256 !== undefined) this.installed.add(sha256);
      if (this.cut()) return;
      const failed = { error: 'the line broke', isFinal: false, isRefused: false };
      this.send(isBroken ? { type: 'fetchFailed', sha256, ...failed } : { type: 'installed', sha256 });
    } else if (effect.type === 'switch') {
      assert.is(this.hold, null, 'a held node does not switch');
      this.readyBefore = effect.ready;
      if (this.cut()) return;
      this.kept = launch.tried(this.kept, effect.software.sha256 ?? null);
      this.node = undefined;
    } else if (effect.type === 'proved') {
      assert.is(natureOf(launch.chosen(this.kept)), 'sound', 'only what is healthy proves itself');
      this.kept = launch.proved(this.kept);
    }
  }

  /** A second. */
  pass(): void {
    this.now += 1_000;
    if (!this.node) {
      this.start();
      return;
    }
    if (this.kept.trial && this.now - this.startedAt > 60_000) {
      this.kept = launch.rejected(this.kept, 'did not prove itself');
      this.node = undefined;
      return;
    }
    if (this.cut()) return;
    const isSick = natureOf(launch.chosen(this.kept)) === 'sick';
    const ready = isSick ? [] : ['trigger speech'];
    const items = { ready, wanted: ['trigger speech'], isSettled: true };
    this.send({ type: 'tick', hold: this.hold, connected: !isSick, items });
  }
}

test('whatever is wanted, held and cut off in between, a sound version ends up running and proved', () => {
  const first = Number(process.env.SEED ?? randomInt(2 ** 31 - 1_000));
  console.error(`  seeds from ${first}`);
  for (let seed = first; seed < first + 60; seed++) {
    const machine = new Machine(seed);
    const { random } = machine;
    machine.isSafe = false;
    for (let second = 0; second < 400; second++) {
      if (random.happens(0.02)) {
        machine.wanted = random.pick([
          undefined,
          version('a'),
          version('b'),
          version('c'),
          version('d'),
          { version: 'built-in' },
        ]);
        machine.send({ type: 'wanted', software: machine.wanted });
      }
      if (random.happens(0.02)) machine.hold = machine.hold === null ? 'in motion' : null;
      machine.pass();
    }
    machine.isSafe = true;
    machine.hold = null;
    const last = random.pick(['a', 'b', 'c', 'd'] as const);
    machine.wanted = version(last);
    machine.send({ type: 'wanted', software: machine.wanted });
    for (let second = 0; second < 600; second++) machine.pass();
    const { kept, node } = machine;
    assert.ok(node, `seed ${seed}: it runs`);
    assert.is(kept.trial, null, `seed ${seed}: nothing is on trial any more`);
    assert.is(natureOf(kept.good), 'sound', `seed ${seed}: what is good is sound`);
    const told = describeSoftware(node as SoftwareState);
    if (nature[sha(last)] !== 'sound') {
      assert.is(told.update?.state, 'failed', `seed ${seed}: the update failed`);
      assert.ok(told.update?.error, `seed ${seed}: and says why`);
    } else if (told.update?.state !== 'failed') {
      // Cut off three times on trial it is given up, though it is sound.
      assert.is(told.sha256, sha(last), `seed ${seed}: it runs what is wanted`);
      assert.is(told.provisional, undefined);
    }
    const { downloads } = machine;
    for (let second = 0; second < 60; second++) machine.pass();
    assert.is(machine.downloads, downloads, `seed ${seed}: what is reached does nothing more`);
  }
});

test('a version is proved once what was ready before is ready again for long enough, and what is no longer wanted is not waited for', () => {
  const launched = { version: '2', sha256: sha('a'), isTrial: true, rejected: null };
  let state = initialSoftware(launched, ['model vad', 'trigger speech']);
  const tick = (now: number, connected: boolean, ready: string[], wanted: string[]) => {
    const items = { ready, wanted, isSettled: true };
    const result = step(state, { type: 'tick', hold: null, connected, items }, now);
    state = result.state;
    return result.effects;
  };
  const both = ['model vad', 'trigger speech'];
  assert.equal(tick(0, false, both, both), [{ type: 'notYet', reason: 'not connected to the broker' }]);
  assert.equal(tick(1, true, ['model vad'], both), [{ type: 'notYet', reason: 'not ready: trigger speech' }]);
  assert.equal(tick(2, true, ['model vad'], ['model vad']), []);
  assert.equal(tick(PROVE_MS, true, [], both)[0]?.type, 'notYet', 'the time begins anew');
  assert.equal(tick(PROVE_MS + 1, true, both, both), []);
  assert.equal(tick(2 * PROVE_MS, true, both, both), []);
  assert.equal(
    tick(2 * PROVE_MS + 1, true, both, both).map(({ type }) => type),
    ['proved', 'report'],
  );
});

/** A node that has come to rest as version 1, and what it is asked. */
function atRest() {
  let state = initialSoftware({ version: '1', sha256: undefined, isTrial: false, rejected: null }, []);
  const send = (event: Parameters<typeof step>[1], now: number) => {
    const result = step(state, event, now);
    state = result.state;
    return result.effects.map(({ type }) => type);
  };
  const tick = (now: number, isSettled = true, ready = ['model vad']) =>
    send({ type: 'tick', hold: null, connected: true, items: { ready, wanted: ['model vad'], isSettled } }, now);
  return { send, tick, told: () => describeSoftware(state) };
}

test('after a start a node changes its program only once it serves again, so that it is known what the other has to serve', () => {
  const node = atRest();
  assert.equal(node.send({ type: 'wanted', software: version('a') }, 0), ['fetch', 'report']);
  node.send({ type: 'installed', sha256: sha('a') }, 1_000);
  assert.equal(node.tick(2_000, false, []), [], 'its model is still being loaded');
  assert.equal(node.tick(3_000), ['switch', 'report']);
  const stuck = atRest();
  stuck.send({ type: 'wanted', software: version('a') }, 0);
  stuck.send({ type: 'installed', sha256: sha('a') }, 1_000);
  assert.equal(stuck.tick(SETTLE_MS, false), []);
  assert.equal(
    stuck.tick(SETTLE_MS + 1_000, false)[0],
    'switch',
    'what never comes to rest must not keep its cure away',
  );
});

test('where it cannot be written down what comes next, the node serves on, says why, and tries again later', () => {
  const node = atRest();
  node.send({ type: 'wanted', software: version('a') }, 0);
  node.send({ type: 'installed', sha256: sha('a') }, 0);
  assert.equal(node.tick(0), ['switch', 'report']);
  assert.equal(node.send({ type: 'wanted', software: version('b') }, 0), ['report'], 'another process sees to it');
  node.send({ type: 'wanted', software: version('a') }, 0);
  assert.equal(node.send({ type: 'switchFailed', error: 'no space left' }, 0), ['report']);
  assert.equal(node.told().update?.error, 'no space left');
  assert.equal(node.tick(1_000), []);
  assert.equal(node.tick(2_000), ['fetch']);
  node.send({ type: 'installed', sha256: sha('a') }, 2_000);
  assert.equal(node.tick(3_000)[0], 'switch');
});

test('a damaged version on trial is given up, and a good one that is damaged can be fetched again', () => {
  const trial = launch.tried({ ...launch.FIRST, good: sha('a') }, sha('b'));
  assert.equal(launch.damaged(trial, 'damaged'), {
    ...{ good: sha('a'), trial: null, rejected: { program: sha('b'), error: 'damaged' } },
  });
  assert.equal(launch.damaged({ ...launch.FIRST, good: sha('a') }, 'damaged'), launch.FIRST);
});

test('content that is not what was promised is asked for three times, then the update has failed', () => {
  let state = initialSoftware({ version: '1', sha256: undefined, isTrial: false, rejected: null }, []);
  let now = 0;
  const send = (event: Parameters<typeof step>[1]) => {
    const result = step(state, event, now);
    state = result.state;
    return result.effects.some(({ type }) => type === 'fetch');
  };
  let fetches = Number(send({ type: 'wanted', software: version('a') }));
  for (let second = 0; second < 600; second++) {
    now += 1_000;
    if (state.phase === 'fetching')
      send({ type: 'fetchFailed', sha256: sha('a'), error: 'expected SHA-256 …', isFinal: false, isRefused: true });
    const items = { ready: [], wanted: [], isSettled: true };
    fetches += Number(send({ type: 'tick', hold: null, connected: true, items }));
  }
  assert.is(fetches, 3);
  assert.equal(describeSoftware(state).update?.state, 'failed');
});

test.run();
