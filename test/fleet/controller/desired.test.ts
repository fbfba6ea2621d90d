import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Assignment, nextDesired } from '../../../fleet/controller/desired.ts';
import { selects } from '../../../fleet/controller/selector.ts';
import type { DesiredState } from '../../../runtime/protocol/messages.ts';
import { trigger } from '../fleet-parts.ts';

const model = (name: string, version = 1) => ({ name, version, sha256: name.padEnd(64, '0'), bytes: 10 });
const files = 'http://controller/v1/blobs';
const node = (labels: Record<string, string> = {}, reachedVersion = 0) => ({ name: 'n', labels, reachedVersion });
const everywhere = (...triggers: ReturnType<typeof trigger>[]) =>
  triggers.map((one) => ({ trigger: one, selector: {} }));

const assignment: Assignment = {
  overlays: new Map(),
  settings: [],
  software: { released: undefined, byNode: new Map() },
  files,
  models: [model('vad'), model('ocr'), model('unused')],
  triggers: everywhere(trigger('speech', 'vad')),
};

test('a selector without conditions takes every node, and with several all must hold', () => {
  const city = { name: 'city-1', labels: { site: 'north', kind: 'city' } };
  assert.ok(selects({}, city));
  assert.ok(selects({ nodes: ['city-1', 'city-2'] }, city));
  assert.not.ok(selects({ nodes: ['city-2'] }, city));
  assert.ok(selects({ labels: { site: 'north', kind: 'city' } }, city));
  assert.not.ok(selects({ labels: { site: 'north', kind: 'factory' } }, city));
  assert.not.ok(selects({ labels: { missing: 'x' } }, city));
  assert.ok(selects({ nodes: ['city-1'], labels: { site: 'north' } }, city));
  assert.not.ok(selects({ nodes: ['city-1'], labels: { site: 'south' } }, city));
});

test('a node gets its triggers and only the models that they use', () => {
  const desired = nextDesired(null, node(), assignment, 5);
  assert.is(desired?.version, 1);
  assert.is(desired?.at, 5);
  assert.is(desired?.files, files);
  assert.equal(
    desired?.models.map(({ name }) => name),
    ['vad'],
  );
  assert.equal(
    desired?.triggers.map(({ name }) => name),
    ['speech'],
  );
});

test('the version grows only when the content changes, whatever the order of models and triggers', () => {
  const two = { ...assignment, triggers: everywhere(trigger('a', 'vad'), trigger('b', 'ocr')) };
  const first = nextDesired(null, node(), two, 1) as DesiredState;
  const turned = {
    overlays: new Map(),
    settings: [],
    software: { released: undefined, byNode: new Map() },
    files,
    models: two.models.toReversed(),
    triggers: two.triggers.toReversed(),
  };
  assert.is(nextDesired(first, node({ any: 'label' }), turned, 2), first);
  const stored = JSON.parse(JSON.stringify(first));
  assert.is(nextDesired(stored, node(), two, 3), stored, 'and a round trip through the database is no change');
  const newer = { ...two, models: [model('vad', 2), model('ocr')] };
  const second = nextDesired(first, node(), newer, 4);
  assert.is(second?.version, 2);
  assert.is(second?.models.find(({ name }) => name === 'vad')?.version, 2);
});

test('there is no desired state until there is something to say, and an emptied one is said', () => {
  const nothing = { ...assignment, triggers: [] };
  assert.is(nextDesired(null, node({}, 7), nothing, 1), null);
  const first = nextDesired(null, node(), assignment, 1) as DesiredState;
  const emptied = nextDesired(first, node(), nothing, 2);
  assert.is(emptied?.version, 2);
  assert.equal(emptied?.models, []);
});

test('a node that obeyed a controller whose data is lost is overtaken, not ignored', () => {
  const first = nextDesired(null, node({}, 41), assignment, 1) as DesiredState;
  assert.is(first.version, 42);
  assert.is(nextDesired(first, node({}, 42), assignment, 2), first);
  assert.is(nextDesired(first, node({}, 50), assignment, 2)?.version, 51);
});

test('a state that does not fit into one message is refused by name', () => {
  const wide = Array.from({ length: 20 }, (_, index) =>
    trigger(`t${index}`, 'vad', { description: 'x'.repeat(900), let: { long: `"${'y'.repeat(1_900)}"` } }),
  );
  const many = Array.from({ length: 20 }, (_, copy) => wide.map((one) => ({ ...one, name: `${one.name}-${copy}` })));
  assert.throws(
    () => nextDesired(null, node(), { ...assignment, triggers: everywhere(...many.flat()) }, 1),
    /node "n": its desired state would take \d+ bytes, expected at most 1000000; spread its 400 triggers/,
  );
});

test.run();
