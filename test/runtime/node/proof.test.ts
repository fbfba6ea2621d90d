/** New forms of triggers prove themselves, and held nodes stay as they are, whenever the process ends. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { describe } from '../../../runtime/node/describe.ts';
import {
  type CheckedDesired,
  type Effect,
  type Event,
  initialState,
  type NodeState,
} from '../../../runtime/node/node-state.ts';
import { type Proofs, verdict } from '../../../runtime/node/proof.ts';
import { nextWake, step } from '../../../runtime/node/reconcile.ts';
import { describeTrials } from '../../../runtime/node/trials.ts';
import type { Trigger } from '../../../runtime/triggers/schema.ts';

const model = (version: number) => ({ name: 'm', version, sha256: `${version}`.padStart(64, '0'), bytes: 10 });
const trigger = { name: 't', topic: 'a', output: { topic: 'b' }, stages: [{ name: 'm', model: 'm' }] };

function desired(version: number, modelVersion = version, triggers = [trigger]): CheckedDesired {
  const rest = { at: 0, files: 'http://controller/blobs', refused: [] };
  return { version, models: [model(modelVersion)], triggers: triggers as unknown as Trigger[], ...rest };
}

/** A node whose effects succeed at once, but for models whose version is in `broken`. */
class TestNode {
  now = 0;
  served = { answered: 0, failed: 0 };
  broken = new Set<number>();
  /** Versions whose load ends the process. */
  deadly = new Set<number>();
  /** What the process has running: the version of its model. */
  running: number | undefined;
  stopped = 0;
  state!: NodeState;
  readonly disk = {
    desired: null as CheckedDesired | null,
    proofs: [] as unknown,
    hold: null as string | null,
    blobs: new Set<string>(),
  };
  #queue: Event[] = [];

  constructor() {
    this.start();
  }

  start(): void {
    this.running = undefined;
    this.served = { answered: 0, failed: 0 };
    this.state = initialState('n');
    const { desired, hold, blobs } = this.disk;
    const proofs = new Map(this.disk.proofs as []) as Proofs;
    const local = { models: [], triggers: [] };
    this.#queue = [];
    this.send({ type: 'started', desired, present: [...blobs], partial: [], local, proofs, hold });
  }

  send(first: Event): void {
    this.#queue.push(first);
    for (let event = this.#queue.shift(); event; event = this.#queue.shift()) {
      const { state, effects } = step(this.state, event, this.now);
      this.state = state;
      if (!effects.every((effect) => this.#carryOut(effect))) this.start();
    }
  }

  /** Lets time pass, with messages. */
  pass(ms: number, each: Partial<TestNode['served']> = {}): void {
    for (const end = this.now + ms; this.now < end; ) {
      this.now += 1_000;
      this.served = {
        answered: this.served.answered + (each.answered ?? 0),
        failed: this.served.failed + (each.failed ?? 0),
      };
      if ((nextWake(this.state) ?? Number.POSITIVE_INFINITY) <= this.now)
        this.send({ type: 'tick', served: new Map([['t', this.served]]) });
    }
  }

  get trigger() {
    return describe(this.state).triggers[0];
  }

  #carryOut(effect: Effect): boolean {
    if (effect.type === 'saveDesired') this.disk.desired = effect.desired;
    else if (effect.type === 'saveProofs') this.disk.proofs = JSON.parse(JSON.stringify([...effect.proofs]));
    else if (effect.type === 'saveHold') this.disk.hold = effect.hold;
    else if (effect.type === 'download') {
      const { sha256 } = effect.file;
      this.disk.blobs.add(sha256);
      this.#queue.push({ type: 'downloaded', sha256 });
    } else if (effect.type === 'removeBlob') this.disk.blobs.delete(effect.sha256);
    else if (effect.type === 'load') {
      if (this.deadly.has(effect.model.version)) return false;
      const { id } = effect;
      if (this.broken.has(effect.model.version)) this.#queue.push({ type: 'loadFailed', id, error: 'it is broken' });
      else this.#queue.push({ type: 'loaded', id, engine: 'llmasos' });
    } else if (effect.type === 'startTrigger') {
      this.running = Number(effect.models.m?.split(':')[0]?.split('@')[1]);
      this.#queue.push({ type: 'triggerStarted', name: 't', key: effect.key });
    } else if (effect.type === 'stopTrigger') {
      this.running = undefined;
      this.stopped++;
    }
    return true;
  }
}

function onVersion1(): TestNode {
  const node = new TestNode();
  node.send({ type: 'desired', desired: desired(1) });
  assert.is(node.running, 1);
  assert.equal(node.trigger, { name: 't', state: 'ready', provisional: true });
  return node;
}

test('a new form is provisional until messages, or half a minute, have proved it', () => {
  const node = onVersion1();
  node.send({ type: 'desired', desired: desired(2) });
  assert.is(node.running, 2);
  assert.equal(node.trigger, { name: 't', state: 'ready', provisional: true });
  node.pass(29_000);
  assert.ok(node.trigger?.provisional);
  node.pass(2_000);
  assert.equal(node.trigger, { name: 't', state: 'ready' });
  node.send({ type: 'desired', desired: desired(3) });
  node.pass(12_000, { answered: 2 });
  assert.equal(node.trigger, { name: 't', state: 'ready' }, '20 messages are enough');
  assert.is(nextWake(node.state), undefined);
});

test('a first form has nothing to go back to: it goes on while it fails, says so, also after restarts, and is proved when it answers', () => {
  const node = onVersion1();
  const doubted = { name: 't', state: 'ready', provisional: true, error: '5 of 5 messages failed, before it 0%' };
  node.pass(100_000, { failed: 1 });
  assert.equal([node.running, node.trigger], [1, doubted]);
  node.start();
  assert.equal(node.trigger, { name: 't', state: 'ready', provisional: true });
  node.pass(10_000, { failed: 1 });
  assert.equal([node.running, node.trigger], [1, doubted]);
  node.pass(40_000, { answered: 1 });
  assert.equal(node.trigger, { name: 't', state: 'ready' });
  node.start();
  assert.equal(node.trigger, { name: 't', state: 'ready' });
});

test('what was rejected stays so when the first form, which serves again, is proved', () => {
  const node = onVersion1();
  node.deadly.add(3);
  node.send({ type: 'desired', desired: desired(3) });
  node.start();
  assert.is(node.running, 1);
  node.pass(40_000, { answered: 1 });
  assert.match(node.trigger?.error ?? '', /stopped each of the 3 times/);
  assert.ok((node.disk.proofs as [string, { good: object }][]).every(([, { good }]) => !('isUnproved' in good)));
});

test('a form that fails more messages than the one before it is taken back, and stays rejected after a restart', () => {
  const node = onVersion1();
  node.pass(100_000, { answered: 1 });
  node.send({ type: 'desired', desired: desired(2) });
  node.pass(8_000, { answered: 1, failed: 1 });
  assert.is(node.running, 1);
  assert.is(node.trigger?.state, 'failed');
  assert.match(node.trigger?.error ?? '', /^\d+ of \d+ messages failed, before it 1%; its previous form goes on$/);
  node.start();
  assert.is(node.running, 1);
  assert.is(node.trigger?.state, 'failed');
  node.send({ type: 'desired', desired: desired(3, 1) });
  assert.equal(node.trigger, { name: 't', state: 'ready' });
  node.send({ type: 'desired', desired: desired(4, 2) });
  assert.is(node.running, 2, 'asked for again, it is tried again');
});

test('messages that failed before too are not held against the new form', () => {
  const node = onVersion1();
  node.pass(60_000, { answered: 3, failed: 2 });
  node.send({ type: 'desired', desired: desired(2) });
  node.pass(31_000, { answered: 3, failed: 2 });
  assert.equal([node.running, node.trigger], [2, { name: 't', state: 'ready' }]);
  assert.is(verdict({ answered: 60, failed: 40 }, { answered: 63, failed: 50 }, 5_000), undefined);
  assert.is(verdict({ answered: 100, failed: 0 }, { answered: 100, failed: 5 }, 5_000)?.healthy, false);
});

test('a form that takes the process down three times is given up, and the good one serves', () => {
  const node = onVersion1();
  node.deadly.add(2);
  node.send({ type: 'desired', desired: desired(2) });
  assert.is(node.running, 1);
  assert.match(node.trigger?.error ?? '', /stopped each of the 3 times/);
});

test('a form on trial that takes the process down is given up after three processes, also later, and holds nobody up', () => {
  const node = onVersion1();
  node.deadly.add(2);
  const trials = [{ id: 'r', models: [model(2)], triggers: [] }];
  node.send({ type: 'desired', desired: { ...desired(2, 1), trials } });
  const told = () => describeTrials(node.state, new Map())[0];
  const failed = { id: 'r', trigger: 't', state: 'failed' };
  assert.equal(told(), {
    ...failed,
    error: 'the node stopped each of the 3 times that it was tried, before it had proved itself',
  });
  assert.equal([node.running, node.state.reached], [1, 2]);
  node.start();
  assert.is(told()?.state, 'failed');
  node.send({
    type: 'desired',
    desired: { ...desired(3, 1), trials: [{ id: 'again', models: [model(3)], triggers: [] }] },
  });
  for (let count = 0; count < 5; count++) {
    assert.is(told()?.state, 'waiting', 'it runs, and nothing was compared yet');
    node.pass(31_000);
    node.start();
  }
});

test('after a restart the good form serves while the new one does not load, or is not there', () => {
  const node = onVersion1();
  node.broken.add(2);
  node.send({ type: 'desired', desired: desired(2) });
  assert.is(node.running, 1);
  for (let count = 0; count < 5; count++) {
    node.start();
    assert.is(node.running, 1);
    assert.match(node.trigger?.error ?? '', /it is broken; its previous form goes on/);
  }
});

test('a held node fetches, but changes and stops nothing, also after restarts; then it goes on', () => {
  const node = onVersion1();
  node.send({ type: 'hold', reason: 'in motion' });
  node.send({ type: 'desired', desired: desired(2) });
  assert.ok(node.disk.blobs.has(model(2).sha256));
  for (let count = 0; count < 4; count++) {
    assert.is(node.running, 1);
    assert.equal(node.trigger, { name: 't', state: 'waiting' });
    node.start();
  }
  node.send({ type: 'hold', reason: null });
  assert.is(node.running, 2);
  assert.equal(node.trigger, { name: 't', state: 'ready', provisional: true });
  node.pass(31_000);
  node.send({ type: 'hold', reason: 'in motion' });
  node.send({ type: 'desired', desired: desired(3, 3, []) });
  node.start();
  assert.equal([node.running, node.stopped], [2, 0], 'what was removed goes on as well');
  node.send({ type: 'hold', reason: null });
  assert.equal([node.running, node.stopped], [undefined, 1]);
  assert.equal(node.disk.proofs, []);
});

test.run();
