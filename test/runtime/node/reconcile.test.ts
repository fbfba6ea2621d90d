import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type CheckedDesired,
  describe,
  type Effect,
  type Event,
  initialState,
  modelId,
  type NodeState,
  nextWake,
  reachedVersion,
  step,
} from '../../../runtime/node/reconcile.ts';
import type { Trigger } from '../../../runtime/triggers/schema.ts';
import { Random } from '../../random.ts';

const sha = (seed: string) => seed.padStart(64, '0');
const model = (name: string, version = 1, hash = `${version}`) => ({ name, version, sha256: sha(hash), bytes: 10 });
const trigger = (name: string, ...models: string[]) =>
  ({
    name,
    topic: 'a',
    output: { topic: 'b' },
    stages: models.map((model) => ({ name: model, model })),
  }) as unknown as Trigger;

function desired(version: number, models: ReturnType<typeof model>[], triggers: Trigger[]): CheckedDesired {
  return { version, at: 0, files: 'http://controller/blobs', models, triggers, refused: [] };
}

/** A node whose effects are answered by hand. */
function node() {
  let state = initialState('n1');
  const local = { models: [], triggers: [] };
  const send = (event: Event, now = 0): Effect[] => {
    const result = step(state, event, now);
    state = result.state;
    return result.effects.filter((effect) => effect.type !== 'report');
  };
  send({ type: 'started', desired: null, present: [], partial: [], local });
  return { send, state: () => state, types: (event: Event, now = 0) => send(event, now).map((effect) => effect.type) };
}

const started = (effects: Effect[]): Event => {
  const effect = effects.find((candidate) => candidate.type === 'startTrigger');
  assert.ok(effect?.type === 'startTrigger', `expected a trigger to start, got ${JSON.stringify(effects)}`);
  return { type: 'triggerStarted', name: effect.trigger.name, key: effect.key };
};

/** Brings a node to version 1: one model, one trigger, all ready. */
function ready() {
  const running = node();
  const first = model('m');
  running.send({ type: 'desired', desired: desired(1, [first], [trigger('t', 'm')]) });
  running.send({ type: 'downloaded', sha256: first.sha256 });
  running.send(started(running.send({ type: 'loaded', id: modelId(first), engine: 'llmasos' })));
  assert.is(reachedVersion(running.state()), 1);
  return running;
}

test('a desired state is saved, its models fetched and loaded, then its triggers started', () => {
  const { send, types, state } = node();
  const m = model('m');
  assert.equal(types({ type: 'desired', desired: desired(1, [m], [trigger('t', 'm')]) }), ['saveDesired', 'download']);
  assert.equal(types({ type: 'downloaded', sha256: m.sha256 }), ['load']);
  const effects = send({ type: 'loaded', id: modelId(m), engine: 'onnxruntime', fallbackReason: 'operator Foo' });
  assert.is(reachedVersion(state()), 0);
  assert.equal(send(started(effects)), []);
  assert.is(reachedVersion(state()), 1);
  const [described] = describe(state()).models;
  assert.is(described?.engine, 'onnxruntime');
  assert.is(described?.fallbackReason, 'operator Foo');
});

test('the same desired state again, or an older one, does nothing at all', () => {
  const { state, send } = ready();
  const before = state();
  assert.equal(send({ type: 'desired', desired: desired(1, [], []) }), []);
  assert.equal(send({ type: 'desired', desired: desired(0, [], []) }), []);
  assert.is(state(), before);
});

test('the same version made at another time is new: its controller was restored from older data', () => {
  const { types } = ready();
  const other = { ...desired(1, [model('m')], []), at: 7 };
  assert.equal(types({ type: 'desired', desired: other }), ['saveDesired', 'stopTrigger']);
  assert.equal(types({ type: 'desired', desired: other }), []);
});

test('names that JavaScript objects have by themselves are names like any other', () => {
  for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
    const { send, state } = node();
    const m = model(name);
    send({ type: 'desired', desired: desired(1, [m], [trigger(name, name)]) });
    send({ type: 'downloaded', sha256: m.sha256 });
    const effects = send({ type: 'loaded', id: modelId(m), engine: 'llmasos' });
    const [start] = effects;
    assert.ok(start?.type === 'startTrigger' && Object.values(start.models)[0] === modelId(m), name);
    send(started(effects));
    assert.equal(describe(state()).triggers, [{ name, state: 'ready' }]);
    assert.equal(
      send({ type: 'desired', desired: desired(2, [], []) }).map(({ type }) => type),
      ['saveDesired', 'stopTrigger', 'unload'],
    );
  }
});

test('after a start messages wait for every trigger until it runs, or is no longer wanted', () => {
  const m = model('m');
  const local = { models: [], triggers: [] };
  const kept = desired(1, [m], [trigger('t', 'm')]);
  const first = step(initialState('n'), { type: 'started', desired: kept, present: [], partial: [], local }, 0);
  assert.equal(
    first.effects.map(({ type }) => type),
    ['holdTrigger', 'download', 'report'],
  );
  const second = step(first.state, { type: 'desired', desired: desired(2, [], []) }, 0);
  assert.equal(
    second.effects.map(({ type }) => type),
    ['saveDesired', 'stopTrigger', 'report'],
  );
});

test('what has arrived of a file that is no longer wanted is removed, after a start too', () => {
  const { send } = node();
  const [first, second] = [model('m', 1), model('m', 2)];
  send({ type: 'desired', desired: desired(1, [first], []) });
  send({ type: 'downloadFailed', sha256: first.sha256, error: 'cut' });
  assert.equal(
    send({ type: 'desired', desired: desired(2, [second], []) }).filter(({ type }) => type === 'removeBlob'),
    [{ type: 'removeBlob', sha256: first.sha256 }],
  );
  const local = { models: [], triggers: [] };
  const partial = [first.sha256, second.sha256];
  const kept = desired(2, [second], []);
  const { effects } = step(initialState('n'), { type: 'started', desired: kept, present: [], partial, local }, 0);
  assert.equal(
    effects.filter(({ type }) => type === 'removeBlob'),
    [{ type: 'removeBlob', sha256: first.sha256 }],
  );
});

test('a new model version is loaded beside the old one, which is unloaded only after the swap', () => {
  const { send, types } = ready();
  const second = model('m', 2);
  assert.equal(types({ type: 'desired', desired: desired(2, [second], [trigger('t', 'm')]) }), [
    'saveDesired',
    'download',
  ]);
  assert.equal(types({ type: 'downloaded', sha256: second.sha256 }), ['load']);
  const swap = send({ type: 'loaded', id: modelId(second), engine: 'llmasos' });
  assert.equal(
    swap.map((effect) => effect.type),
    ['startTrigger'],
  );
  assert.equal(send(started(swap)), [{ type: 'unload', id: modelId(model('m')) }]);
});

test('when the new version does not load, the old one keeps running and the reason is reported', () => {
  const { send, state } = ready();
  const second = model('m', 2);
  send({ type: 'desired', desired: desired(2, [second], [trigger('t', 'm')]) });
  send({ type: 'downloaded', sha256: second.sha256 });
  assert.equal(send({ type: 'loadFailed', id: modelId(second), error: 'not an ONNX file' }), []);
  assert.is(reachedVersion(state()), 2);
  const { models, triggers } = describe(state());
  assert.is(models[0]?.error, 'not an ONNX file');
  assert.is(triggers[0]?.error, 'model "m": not an ONNX file; its previous form goes on');
  assert.ok(state().models[modelId(model('m'))]);
});

test('a trigger whose model is not assigned fails with the model named', () => {
  const { send, state } = node();
  send({ type: 'desired', desired: desired(1, [], [trigger('t', 'nobody')]) });
  assert.match(describe(state()).triggers[0]?.error ?? '', /model "nobody" is not on this node/);
  assert.is(reachedVersion(state()), 1);
});

test('a trigger that this node cannot read is reported and its running form goes on', () => {
  const { send, state } = ready();
  const next = { ...desired(2, [model('m')], []), refused: [{ name: 't', error: 'stages[0].post: no such step' }] };
  assert.equal(
    send({ type: 'desired', desired: next }).map((effect) => effect.type),
    ['saveDesired'],
  );
  assert.match(describe(state()).triggers[0]?.error ?? '', /no such step; its previous form goes on/);
});

test('a model that changed engines is reported with the reason', () => {
  const { send, state } = ready();
  const change = { type: 'engineChanged', engine: 'onnxruntime', fallbackReason: 'shape [?] of Foo' } as const;
  assert.equal(send({ ...change, id: modelId(model('m')) }), []);
  assert.is(describe(state()).models[0]?.fallbackReason, 'shape [?] of Foo');
  assert.is(describe(state()).models[0]?.engine, 'onnxruntime');
});

test('a failed download is tried again later and later, up to a minute', () => {
  const { send, state } = node();
  const m = model('m');
  send({ type: 'desired', desired: desired(1, [m], []) });
  const waits: number[] = [];
  for (let now = 0; waits.length < 10; ) {
    assert.equal(send({ type: 'downloadFailed', sha256: m.sha256, error: 'refused' }, now), []);
    const wake = nextWake(state());
    assert.ok(wake !== undefined);
    assert.equal(send({ type: 'tick' }, wake - 1), []);
    assert.is(send({ type: 'tick' }, wake)[0]?.type, 'download');
    waits.push(wake - now);
    now = wake;
  }
  assert.ok((waits[0] as number) < 1500);
  assert.ok(waits.every((wait) => wait <= 75_000) && (waits.at(-1) as number) >= 45_000, String(waits));
});

test('blobs of this desired state and of the one before stay, older ones go, and an empty state deletes none', () => {
  const { send, types } = ready();
  const second = model('m', 2);
  assert.equal(types({ type: 'desired', desired: desired(2, [], []) }), ['saveDesired', 'stopTrigger', 'unload']);
  send({ type: 'desired', desired: desired(3, [second], []) });
  send({ type: 'downloaded', sha256: second.sha256 });
  const effects = send({ type: 'loaded', id: modelId(second), engine: 'llmasos' });
  assert.equal(effects, [{ type: 'removeBlob', sha256: sha('1') }]);
});

test('a damaged file is fetched again', () => {
  const running = node();
  const m = model('m');
  running.send({ type: 'desired', desired: desired(1, [m], []) });
  running.send({ type: 'downloaded', sha256: m.sha256 });
  assert.equal(running.types({ type: 'blobLost', sha256: m.sha256 }), ['download']);
});

test("models and triggers from the node's own folders run without any controller", () => {
  const m = model('m');
  const local = { models: [m], triggers: [trigger('t', 'm')] };
  const first = step(initialState('n'), { type: 'started', desired: null, present: [m.sha256], partial: [], local }, 0);
  assert.equal(
    first.effects.map((effect) => effect.type),
    ['holdTrigger', 'load', 'report'],
  );
  const loaded = step(first.state, { type: 'loaded', id: modelId(m), engine: 'llmasos' }, 0);
  assert.equal(
    loaded.effects.map((effect) => effect.type),
    ['startTrigger', 'report'],
  );
});

/** What a node's machine would do with the effects, with faults; it asserts what must never happen. */
function machine(random: Random) {
  const disk = { blobs: new Set<string>(), desired: null as CheckedDesired | null };
  let state!: NodeState;
  let pending: Event[] = [];
  let loaded = new Set<string>();
  let running = new Map<string, string[]>();
  let held = new Set<string>();
  let faults = true;
  let now = 0;
  const fails = (odds: number) => faults && random.next() < odds;

  const carryOut = (effect: Effect): void => {
    switch (effect.type) {
      case 'saveDesired':
        assert.ok(!disk.desired || effect.desired.version > disk.desired.version, 'a version went back');
        disk.desired = effect.desired;
        return;
      case 'download':
        if (fails(0.3)) pending.push({ type: 'downloadFailed', sha256: effect.sha256, error: 'cut' });
        else {
          disk.blobs.add(effect.sha256);
          pending.push({ type: 'downloaded', sha256: effect.sha256 });
        }
        return;
      case 'removeBlob':
        for (const wanted of disk.desired?.models ?? [])
          assert.is.not(wanted.sha256, effect.sha256, 'a needed blob went');
        disk.blobs.delete(effect.sha256);
        return;
      case 'load':
        // Two models may share a file, so that the loss of one is news to the other.
        if (!disk.blobs.has(effect.model.sha256) || fails(0.1)) {
          disk.blobs.delete(effect.model.sha256);
          pending.push({ type: 'blobLost', sha256: effect.model.sha256 });
        } else {
          loaded.add(effect.id);
          pending.push({ type: 'loaded', id: effect.id, engine: 'llmasos' });
        }
        return;
      case 'unload':
        for (const held of running.values()) assert.not.ok(held.includes(effect.id), 'a model in use was unloaded');
        assert.ok(loaded.delete(effect.id), 'a model was unloaded twice');
        return;
      case 'startTrigger':
        for (const id of Object.values(effect.models)) assert.ok(loaded.has(id), 'a trigger started without its model');
        running.set(effect.trigger.name, Object.values(effect.models));
        pending.push({ type: 'triggerStarted', name: effect.trigger.name, key: effect.key });
        return;
      case 'holdTrigger':
        held.add(effect.trigger.name);
        return;
      case 'stopTrigger': {
        const stopped = [running.delete(effect.name), held.delete(effect.name)];
        assert.ok(stopped.includes(true), 'a trigger was stopped twice');
      }
    }
  };
  const send = (event: Event): void => {
    const result = step(state, event, now);
    state = result.state;
    result.effects.forEach(carryOut);
  };
  const restart = (): void => {
    [pending, loaded, running, held, state] = [[], new Set(), new Map(), new Set(), initialState('n')];
    const local = { models: [], triggers: [] };
    send({ type: 'started', desired: disk.desired, present: [...disk.blobs], partial: [], local });
  };
  restart();
  return {
    restart,
    send,
    heal: () => (faults = false),
    /** Delivers one outcome, in any order, or lets time pass. */
    proceed(): boolean {
      const [event] = pending.splice(random.below(pending.length), 1);
      if (event) send(event);
      else {
        const wake = nextWake(state);
        if (wake === undefined) return false;
        now = Math.max(now, wake);
        send({ type: 'tick' });
      }
      return true;
    },
    state: () => state,
    running: () => running,
    held: () => held,
    loaded: () => loaded,
  };
}

test('through lost, repeated and reordered messages, failed downloads and restarts a node converges once all is well', () => {
  const seed = Number(process.env.SEED ?? (Math.random() * 2 ** 31) | 0);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  const pick = (count: number) => random.below(count);
  let restarts = 0;
  let converged = 0;
  for (let round = 0; round < 60; round++) {
    const world = machine(random);
    const history: CheckedDesired[] = [];
    for (let version = 1; version <= 12; version++) {
      const models = ['a', 'b', 'c']
        .filter(() => random.next() < 0.7)
        .map((name) => model(name, 1 + pick(3), `${name.charCodeAt(0)}${pick(3)}`));
      const triggers = ['x', 'y']
        .filter(() => random.next() < 0.7)
        .map((name) => trigger(name, ...['a', 'b', 'c'].filter(() => random.next() < 0.5)));
      history.push(desired(version, models, triggers));
      for (let turn = 0; turn < 8; turn++) {
        const roll = random.next();
        if (roll < 0.35) world.send({ type: 'desired', desired: history[pick(history.length)] as CheckedDesired });
        else if (roll < 0.42) {
          world.restart();
          restarts++;
        } else world.proceed();
      }
    }
    world.heal();
    const last = history.at(-1) as CheckedDesired;
    world.send({ type: 'desired', desired: last });
    for (let steps = 0; world.proceed(); steps++)
      assert.ok(steps < 200, `seed ${seed}, round ${round}: no convergence`);
    assert.is(reachedVersion(world.state()), last.version);
    const names = new Set(last.models.map(({ name }) => name));
    const startable = last.triggers.filter(({ stages }) => stages.every((stage) => names.has(stage.model)));
    const expected = startable.map(({ name }) => name).sort();
    assert.equal(
      [...world.running().keys()].sort().filter((name) => expected.includes(name)),
      expected,
    );
    const assigned = last.triggers.map(({ name }) => name);
    for (const name of world.held()) assert.ok(assigned.includes(name), `seed ${seed}: messages wait for nobody`);
    for (const wanted of last.models) assert.ok(world.loaded().has(modelId(wanted)), `seed ${seed}, round ${round}`);
    converged++;
  }
  assert.is(converged, 60);
  assert.ok(restarts > 50);
});

test.run();
