import { pino } from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDatabase, sqliteDialect } from '../../../fleet/controller/database.ts';
import { createNodeTraffic } from '../../../fleet/controller/node-traffic.ts';
import type { StateMessage } from '../../../fleet/controller/registry.ts';
import { readNodes, saveNode } from '../../../fleet/controller/store.ts';
import { eventually } from '../fleet-parts.ts';

const log = pino({ enabled: false });
const presence = (node: string, online: boolean): StateMessage => ({
  kind: 'presence',
  node,
  presence: { online, at: 1 },
});
const metrics = (node: string): StateMessage => ({
  kind: 'metrics',
  node,
  metrics: { at: 1, uptimeMs: 1, residentBytes: 1, outboxItems: 0, triggers: [] },
});
const textOf = ({ node, kind }: StateMessage) => `${node} ${kind}`;

test('what gathers is taken in the order of arrival, the newest of each kind', async () => {
  const batches: string[][] = [];
  const traffic = createNodeTraffic(async (batch) => void batches.push(batch.map(textOf)), log, 100);
  traffic.add(presence('first', true));
  traffic.add(presence('a', true));
  traffic.add(metrics('a'));
  traffic.add(presence('a', false));
  await traffic.close();
  assert.equal(batches, [['first presence'], ['a metrics', 'a presence']]);
});

test('a batch that cannot be stored is tried again, under what came meanwhile', async () => {
  const batches: string[][] = [];
  let fails = true;
  const take = async (batch: readonly StateMessage[]) => {
    if (fails) throw new Error('the disk is full');
    batches.push(batch.map((message) => (message.kind === 'presence' ? String(message.presence.online) : 'other')));
  };
  const traffic = createNodeTraffic(take, log, 100);
  traffic.add(presence('a', true));
  await new Promise((resolve) => setImmediate(resolve));
  traffic.add(metrics('a'));
  traffic.add(presence('a', false));
  fails = false;
  await eventually('the second attempt', () => batches.length > 0);
  assert.equal(batches, [['other', 'false']]);
  await traffic.close();
});

test('names without end take no memory without end', async () => {
  const sizes: number[] = [];
  const traffic = createNodeTraffic(async (batch) => void sizes.push(batch.length), log, 100);
  for (let count = 0; count < 5_000; count++) traffic.add(presence(`n${count}`, true));
  await traffic.close();
  assert.equal(sizes, [1, 100]);
});

test('more names than a statement takes parameters can be asked for', async () => {
  const database = await openDatabase(sqliteDialect(':memory:'), 'state');
  await saveNode(database, { name: 'n39999', reported: null, lastSeenAt: 1 });
  await saveNode(database, { name: 'other', reported: null, lastSeenAt: 1 });
  const names = Array.from({ length: 40_000 }, (_, index) => `n${index}`);
  assert.equal(
    (await readNodes(database, names)).map(({ name }) => name),
    ['n39999'],
  );
  await database.destroy();
});

test.run();
