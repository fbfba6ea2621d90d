import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { describe, itemsOf } from '../../../runtime/node/describe.ts';
import { type Effect, type Event, initialState } from '../../../runtime/node/node-state.ts';
import type { Form, Proofs } from '../../../runtime/node/proof.ts';
import { nextWake, reachedVersion, step } from '../../../runtime/node/reconcile.ts';
import { modelId, wantedForm } from '../../../runtime/node/wanted.ts';
import { desired, fresh, model, sha, trigger } from './desired-parts.ts';

/** A node whose effects are answered by hand. */
function node() {
  let state = initialState('n1');
  const local = { models: [], triggers: [] };
  const send = (event: Event, now = 0): Effect[] => {
    const result = step(state, event, now);
    state = result.state;
    return result.effects.filter(({ type }) => type !== 'report' && type !== 'saveProofs');
  };
  send({ type: 'started', desired: null, present: [], partial: [], local, ...fresh });
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

test('a model and a trigger serve as long as any form of them does: what does not load is not the fault of another program', () => {
  const { send, state } = ready();
  const next = model('m', 2);
  send({ type: 'desired', desired: desired(2, [next], [trigger('t', 'm')]) });
  send({ type: 'downloadFailed', sha256: next.sha256, error: 'no connection' });
  assert.is(itemsOf(state()).isSettled, false, 'it is tried again');
  send({ type: 'downloaded', sha256: next.sha256 });
  send({ type: 'loadFailed', id: modelId(next), error: 'it is no model' });
  assert.equal(describe(state()).triggers[0]?.state, 'failed');
  const items = ['model m', 'trigger t'];
  assert.equal(itemsOf(state()), { ready: items, wanted: items, isSettled: true });
});

test('while the program of the node is on trial only what has served before is run, so that a form that ends the process does not count against it', () => {
  const [before, next, unused] = [model('m'), model('m', 2), model('other')];
  const wanted = desired(2, [next, unused], [trigger('t', 'm'), trigger('new', 'other')]);
  const key = JSON.stringify([trigger('t', 'm'), [modelId(before)]]);
  const proofs = new Map([['t', { good: { key, trigger: trigger('t', 'm'), models: [before] } }]]);
  let state = initialState('n1');
  const send = (event: Event): Effect[] => {
    const result = step(state, event, 0);
    state = result.state;
    return result.effects.filter(({ type }) => type !== 'report');
  };
  const present = [before, next, unused].map(({ sha256 }) => sha256);
  const local = { models: [], triggers: [] };
  const effects = send({
    type: 'started',
    desired: wanted,
    present,
    partial: [],
    local,
    proofs,
    hold: null,
    isOnTrial: true,
  });
  assert.equal(
    effects.map((effect) => (effect.type === 'load' ? effect.id : effect.type)),
    ['holdTrigger', 'holdTrigger', modelId(before)],
  );
  send(started(send({ type: 'loaded', id: modelId(before), engine: 'llmasos' })));
  assert.equal(itemsOf(state).ready, ['model m', 'trigger t']);
  assert.equal(itemsOf(state).wanted, ['model m', 'trigger t']);
  const proved = send({ type: 'programProved' });
  assert.equal(
    proved.map((effect) => (effect.type === 'load' ? effect.id : effect.type)),
    ['saveProofs', 'saveProofs', modelId(next), modelId(unused)],
    'that they are tried is written first',
  );
});

test('a node is not settled while forms from before start, in place of rejected ones: nothing would have to serve again after a switch', () => {
  const [old, next, t] = [model('m'), model('m', 2), trigger('t', 'm')];
  const form = (one: typeof old) => wantedForm({ ...t }, new Map([['m', one]])) as Form;
  const proofs: Proofs = new Map([
    ['t', { good: form(old), rejected: { key: form(next).key, error: 'it ends the process' } }],
  ]);
  const { send, state } = node();
  const local = { models: [], triggers: [] };
  const present = [old.sha256, next.sha256];
  const again: Event = {
    type: 'started',
    desired: desired(2, [next], [t]),
    present,
    partial: [],
    local,
    proofs,
    hold: null,
  };
  assert.equal(
    send(again).map(({ type }) => type),
    ['holdTrigger', 'load'],
  );
  assert.equal(describe(state()).triggers[0]?.state, 'failed');
  assert.is(itemsOf(state()).isSettled, false, 'the model is being loaded');
  const effects = send({ type: 'loaded', id: modelId(old), engine: 'llmasos' });
  assert.is(itemsOf(state()).isSettled, false, 'the trigger is being started');
  send(started(effects));
  assert.equal(itemsOf(state()), {
    ready: ['model m', 'trigger t'],
    wanted: ['model m', 'trigger t'],
    isSettled: true,
  });
});

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
    assert.equal(describe(state()).triggers, [{ name, state: 'ready', provisional: true }]);
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
  const first = step(
    initialState('n'),
    { type: 'started', desired: kept, present: [], partial: [], local, ...fresh },
    0,
  );
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
  const { effects } = step(
    initialState('n'),
    { type: 'started', desired: kept, present: [], partial, local, ...fresh },
    0,
  );
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
    assert.equal(send({ type: 'tick', served: new Map() }, wake - 1), []);
    assert.is(send({ type: 'tick', served: new Map() }, wake)[0]?.type, 'download');
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
  const first = step(
    initialState('n'),
    { type: 'started', desired: null, present: [m.sha256], partial: [], local, ...fresh },
    0,
  );
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

test.run();
