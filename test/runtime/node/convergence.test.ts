/** A node's machine against a disk, downloads and processes that fail. */
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
import type { Proofs } from '../../../runtime/node/proof.ts';
import { nextWake, reachedVersion, step } from '../../../runtime/node/reconcile.ts';
import { modelId } from '../../../runtime/node/wanted.ts';
import { Random } from '../../random.ts';
import { desired, model, trigger } from './desired-parts.ts';

/** What a node's machine would do with the effects, with faults; it asserts what must never happen. */
function machine(random: Random) {
  const disk = {
    blobs: new Set<string>(),
    desired: null as CheckedDesired | null,
    proofs: '[]',
    hold: null as string | null,
  };
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
      case 'saveProofs':
        disk.proofs = JSON.stringify([...effect.proofs]);
        return;
      case 'saveHold':
        disk.hold = effect.hold;
        return;
      case 'download':
        if (fails(0.3)) pending.push({ type: 'downloadFailed', sha256: effect.file.sha256, error: 'cut' });
        else {
          disk.blobs.add(effect.file.sha256);
          pending.push({ type: 'downloaded', sha256: effect.file.sha256 });
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
        if (stopped[0]) assert.is(disk.hold, null, 'a trigger was stopped although the node is held');
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
    const proofs = new Map(JSON.parse(disk.proofs)) as Proofs;
    send({
      type: 'started',
      desired: disk.desired,
      present: [...disk.blobs],
      partial: [],
      local,
      hold: disk.hold,
      proofs,
    });
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
        send({ type: 'tick', served: new Map() });
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
        } else if (roll < 0.47) world.send({ type: 'hold', reason: random.next() < 0.5 ? 'in motion' : null });
        else world.proceed();
      }
    }
    world.heal();
    world.send({ type: 'hold', reason: null });
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
    // What was tried in three processes that ended is not tried again: it says so, and its predecessor serves.
    const { models } = describe(world.state());
    for (const [index, wanted] of last.models.entries())
      if (!world.loaded().has(modelId(wanted)))
        assert.match(models[index]?.error ?? '', 'times that it was tried', `seed ${seed}, round ${round}`);
    for (const [name, { state, error }] of describe(world.state()).triggers.map((one) => [one.name, one] as const))
      if (state === 'failed' && world.running().has(name)) assert.match(error ?? '', 'its previous form goes on');
    converged++;
  }
  assert.is(converged, 60);
  assert.ok(restarts > 50);
});

test.run();
