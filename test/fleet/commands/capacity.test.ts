/** `llmasos capacity` on loads whose waits a textbook tells. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { capacity } from '../../../fleet/commands/capacity.ts';
import type { CommandContext, Style } from '../../../fleet/commands/command.ts';
import type { NodeView } from '../../../fleet/controller/service.ts';
import type { NodeLoad, NodeMemory } from '../../../runtime/protocol/messages.ts';
import { refusalOf } from '../fleet-parts.ts';

const plain: Style = {
  good: (text) => text,
  bad: (text) => text,
  dim: (text) => text,
  bold: (text) => text,
  table: (header, rows) => [header, ...rows].map((row) => row.join(' | ')).join('\n'),
};

/** 50 messages a second of 10 ms, exponential: half of one server. */
const cameras: NodeLoad['streams'][number] = {
  trigger: 'cameras',
  class: 'interactive',
  perSecond: 50,
  serviceMs: 10,
  serviceMsSquared: 200,
};
const load: NodeLoad = {
  servers: 1,
  order: 'arrival',
  streams: [cameras, { ...cameras, trigger: 'silent', perSecond: 0, serviceMs: null, serviceMsSquared: null }],
  waits: [{ class: 'interactive', count: 900, meanMs: 11, p50Ms: 0.5, p99Ms: 70 }],
};

function contextOf(own: NodeLoad | undefined, memory?: NodeMemory): CommandContext {
  const metrics = { at: 0, uptimeMs: 0, residentBytes: 0, outboxItems: 0, triggers: [], load: own, memory };
  const view: NodeView = {
    name: 'gate',
    online: true,
    lastSeenAt: 0,
    labels: {},
    reported: null,
    metrics,
    desiredVersion: 0,
  };
  return { controller: { nodes: async () => [view] }, signal: new AbortController().signal, emit: () => {} } as never;
}

interface Answer {
  nodes: {
    utilisation: number;
    addedUtilisation?: number;
    classes: { class: string; predicted: Record<string, number>; added?: Record<string, number | null> }[];
    triggers: { trigger: string; room: number }[];
  }[];
}

const run = async (args: Record<string, unknown>, own: NodeLoad | undefined = load): Promise<Answer> =>
  (await capacity.run(args, contextOf(own))) as Answer;

test('waits are those of M/M/1 when messages are served in order', async () => {
  const [node] = (await run({})).nodes;
  assert.is(node?.utilisation, 0.5);
  const predicted = node?.classes[0]?.predicted ?? {};
  // Kleinrock vol. 1: ρ / (1 − ρ) services; half of all wait, those exponentially with mean 20 ms.
  assert.ok(Math.abs((predicted.meanMs ?? 0) - 10) < 1e-9);
  assert.is(predicted.p50Ms, 0);
  assert.ok(Math.abs((predicted.p99Ms ?? 0) - 20 * Math.log(50)) < 1e-9);
});

test('more of what a trigger gets makes waits longer, and too much for ever', async () => {
  const added = async (count: number) => (await run({ add: [`cameras=${count}`] })).nodes[0];
  const one = await added(1);
  assert.is(one?.addedUtilisation, 1);
  assert.is(one?.classes[0]?.added?.meanMs, null);
  const text = capacity.render(await run({ add: ['cameras=1'] }), plain);
  assert.match(text, /gate: 50% busy, 100% with what is added; one message at a time, in order of arrival/);
  assert.match(text, /ever longer/);
});

test('a trigger has room for as many more as keep the usual wait of its class', async () => {
  const [node] = (await run({}, { ...load, streams: [{ ...cameras, perSecond: 5 }] })).nodes;
  // 100 ms on average is a fifth of the half second that is usual: ρ / (1 − ρ) = 10 up to ρ = 10/11, which is 18 streams.
  assert.equal(
    node?.triggers.map(({ trigger, room }) => [trigger, room]),
    [['cameras', 17]],
  );
});

test('a class that goes first does not wait for the others', async () => {
  const reports: NodeLoad['streams'][number] = { ...cameras, trigger: 'reports', class: 'background', perSecond: 40 };
  const both = { ...load, streams: [cameras, reports] };
  const waitOf = async (order: NodeLoad['order']): Promise<number | undefined> =>
    (await run({}, { ...both, order })).nodes[0]?.classes[0]?.predicted.meanMs;
  assert.ok(Math.abs(((await waitOf('class')) ?? 0) - 10) < 1e-9);
  assert.ok(Math.abs(((await waitOf('arrival')) ?? 0) - 90) < 1e-6);
});

test('who asks for what is not there is told what is', async () => {
  assert.match(await refusalOf(run({ node: 'nobody' })), /there is no node "nobody"/);
  assert.match(await refusalOf(run({ add: ['door=2'] })), /no trigger "door" has been measured; there are cameras/);
  assert.match(capacity.render({ nodes: [] }, plain), /No node has told/);
  assert.not.ok(capacity.arguments.safeParse({ add: ['cameras'] }).success);
});

test('what models hold of the memory is told, and which name to be pinned no model has', async () => {
  const memory: NodeMemory = {
    budgetBytes: 64e6,
    usedBytes: 21.2e6,
    models: [
      { name: 'vad', bytes: 1.2e6, pinned: true, loaded: true, unloads: 0 },
      { name: 'reader', bytes: 0, pinned: false, loaded: false, unloads: 3 },
    ],
    pinnedUnknown: ['vat'],
  };
  const answer = (await capacity.run({}, contextOf(load, memory))) as Parameters<typeof capacity.render>[0];
  const text = capacity.render(answer, plain);
  assert.match(text, /memory: 21 MB of 64 MB/);
  assert.match(text, /vad \| 1\.2 MB \| pinned \| 0/);
  assert.match(text, /reader \| when it runs next \| {2}\| 3/);
  assert.match(text, /"vat" is to be pinned, but no model here is called so/);
});

test.run();
