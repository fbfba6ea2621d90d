/** Triggers that leave the choice of nodes to the controller: chosen, kept, moved when a node is lost, and why. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decidePlacing, type PlacingDecision, type PlacingFacts } from '../../../fleet/controller/placing.ts';
import type { NodeSelector, NodeView } from '../../../fleet/controller/service.ts';
import type { StoredTrigger } from '../../../fleet/controller/store.ts';
import { trigger } from '../fleet-parts.ts';

type Streams = NonNullable<NonNullable<NodeView['metrics']>['load']>['streams'];

function node(name: string, labels: Record<string, string> = {}, cores = 2, streams: Streams = []): NodeView {
  const inventory = {
    ...{ version: '0', node: 'v24', platform: 'linux', architecture: 'x64', simd: 'plain' },
    ...{ cores, memoryBytes: 4e9, gpu: { usable: false, detail: 'none' } },
  };
  const load = { servers: cores, order: 'class' as const, streams, waits: [] };
  return {
    ...{ name, labels, online: true, lastSeenAt: 0, desiredVersion: 0 },
    reported: { at: 0, labels, inventory, desiredVersion: 0, models: [], triggers: [] },
    metrics: { at: 0, uptimeMs: 1, residentBytes: 1, outboxItems: 0, triggers: [], load },
  };
}

const stored = (
  name: string,
  selector: NodeSelector,
  nodes?: readonly string[],
  changes: object = {},
): StoredTrigger => ({
  ...{ trigger: trigger(name, 'vad', changes), selector, revision: 1 },
  ...(nodes && { placement: { nodes, reason: 'before', decidedAt: 0 } }),
});

function decide(
  nodes: readonly NodeView[],
  triggers: readonly StoredTrigger[],
  changes: Partial<PlacingFacts> = {},
): PlacingDecision[] {
  const facts = { nodes, triggers, modelBytes: new Map([['vad', 2e6]]), isLost: () => false, refusal: () => undefined };
  return decidePlacing({ ...facts, ...changes });
}

const three = [node('a'), node('b'), node('c')];

test('a trigger that names nodes or labels alone is none of its business', () => {
  assert.equal(decide(three, [stored('t', {}), stored('u', { nodes: ['a'] })]), []);
});

test('a trigger goes to as many of the matching nodes as it asks for, and stays there', () => {
  const nodes = [
    node('a', { site: 'x' }),
    node('b', { site: 'x' }),
    node('c', { site: 'y' }),
    node('d', { site: 'x' }),
  ];
  const selector = { labels: { site: 'x' }, replicas: 2 };
  const [decision] = decide(nodes, [stored('t', selector)]);
  assert.is(decision?.nodes.length, 2);
  assert.ok(decision?.nodes.every((name) => ['a', 'b', 'd'].includes(name)));
  assert.match(decision?.reason ?? '', /is the cheapest of 3 that keep all wait targets/);
  assert.equal(decide(nodes, [stored('t', selector, decision?.nodes)]), []);
});

test('what a lost node served moves, what others serve stays, and the reason says so', () => {
  const selector = { replicas: 2 };
  const facts = {
    isLost: (name: string) => name === 'a',
    refusal: (name: string) => (name === 'a' ? 'it is offline' : undefined),
  };
  const [decision, ...more] = decide(
    three,
    [stored('t', selector, ['a', 'b']), stored('u', selector, ['b', 'c'])],
    facts,
  );
  assert.equal(decision?.nodes, ['b', 'c']);
  assert.match(decision?.reason ?? '', /^a is lost; c is the cheapest of 1 that keep all wait targets/);
  assert.equal(more, []);
});

test('with nobody to take it over, what a lost node had waits for it there', () => {
  const facts = { isLost: () => true, refusal: () => 'it is offline' };
  assert.equal(decide(three, [stored('t', { replicas: 1 }, ['a'])], facts), []);
  const [decision] = decide(three, [stored('t', { replicas: 1 })], facts);
  assert.equal(decision?.nodes, []);
  assert.match(
    decision?.reason ?? '',
    /^1 of 1 nodes are missing: a: it is offline, b: it is offline, c: it is offline$/,
  );
});

test('a node that matches no more, or is one too many, loses the trigger', () => {
  const nodes = [node('a', { site: 'x' }), node('b', { site: 'y' })];
  const [moved] = decide(nodes, [stored('t', { labels: { site: 'x' }, replicas: 1 }, ['b'])]);
  assert.equal(moved?.nodes, ['a']);
  assert.match(moved?.reason ?? '', /^b does not match any more; a is/);
  const [cut] = decide(three, [stored('t', { replicas: 1 }, ['a', 'b'])]);
  assert.equal(cut?.nodes, ['a']);
});

test('measured load decides: a busy node is passed over for one that keeps the wait targets', () => {
  const heavy = { trigger: 'heavy', class: 'normal' as const, perSecond: 60, serviceMs: 40, serviceMsSquared: 1_600 };
  const light = { trigger: 't', class: 'normal' as const, perSecond: 10, serviceMs: 40, serviceMsSquared: 1_600 };
  const nodes = [node('a', {}, 2, [heavy]), node('b', {}, 2, [light])];
  const triggers = [stored('heavy', { nodes: ['a'] }), stored('t', { replicas: 1 })];
  assert.equal(decide(nodes, triggers)[0]?.nodes, ['b']);
  const [forced] = decide([nodes[0] as NodeView], triggers, {});
  assert.equal(forced?.nodes, ['a'], 'an overloaded node is better than none');
  assert.match(forced?.reason ?? '', /none of which keeps all wait targets/);
});

test.run();
