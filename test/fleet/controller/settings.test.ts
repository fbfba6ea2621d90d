import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import { type Assignment, nextDesired } from '../../../fleet/controller/desired.ts';
import { type AssignedSettings, mergeSettings } from '../../../fleet/controller/settings-merge.ts';
import type { DesiredState } from '../../../runtime/protocol/messages.ts';
import { eventually, freshDatabase, ProtocolNode, refusalOf, temporary } from '../fleet-parts.ts';

const settings = (name: string, change: Partial<AssignedSettings>): AssignedSettings => ({
  ...{ name, values: { logLevel: 'info' }, selector: {}, priority: 0 },
  ...change,
});
const node = { name: 'truck-7', labels: { site: 'north', kind: 'truck' } };

test('of several settings the highest priority counts, then the narrowest selector, then the first name', () => {
  const all = settings('b-all', {});
  const first = settings('a-all', { values: { logLevel: 'warn' } });
  const site = settings('site', { selector: { labels: { site: 'north' } } });
  const narrower = settings('trucks-north', { selector: { labels: { site: 'north', kind: 'truck' } } });
  const named = settings('one', { selector: { nodes: ['truck-7'] } });
  const urgent = settings('urgent', { priority: 1 });
  const elsewhere = settings('elsewhere', { selector: { labels: { site: 'south' } }, priority: 9 });
  const order = [urgent, named, narrower, site, first, all];
  for (let left = order; left.length > 0; left = left.slice(1)) {
    const { logLevel } = mergeSettings([...left.toReversed(), elsewhere], node);
    assert.is(logLevel?.from, left[0]?.name);
    assert.equal(
      logLevel?.over,
      left.slice(1).map(({ name }) => name),
    );
  }
});

test('settings are merged one by one: what the first does not say the next one does', () => {
  const merged = mergeSettings(
    [
      settings('site', { values: { logLevel: 'debug' }, selector: { labels: { site: 'north' } } }),
      settings('all', { values: { logLevel: 'warn', metricsIntervalMs: 9_000 } }),
    ],
    node,
  );
  assert.equal(merged.logLevel, { value: 'debug', from: 'site', over: ['all'] });
  assert.equal(merged.metricsIntervalMs, { value: 9_000, from: 'all', over: [] });
});

test('a desired state has a new version when its settings change, and none while they are the same', () => {
  const assignment = (all: AssignedSettings[]): Assignment => ({
    ...{
      files: 'http://c/v1/blobs',
      models: [],
      triggers: [],
      overlays: new Map(),
      settings: all,
      software: { released: undefined, byNode: new Map() },
    },
  });
  const facts = { ...node, reachedVersion: 0 };
  assert.is(nextDesired(null, facts, assignment([]), 1), null);
  const first = nextDesired(null, facts, assignment([settings('a', {})]), 1) as DesiredState;
  assert.equal(first.settings, { logLevel: 'info' });
  const stored = JSON.parse(JSON.stringify(first));
  assert.is(nextDesired(stored, facts, assignment([settings('another-name', {})]), 2), stored);
  const second = nextDesired(stored, facts, assignment([]), 3);
  assert.is(second?.version, 2);
  assert.is(second?.settings, undefined);
});

test('settings go to the nodes with the label over real MQTT, and the node of an older version is told apart', async () => {
  const data = temporary();
  const options = { data, ...(await freshDatabase()), mqttPort: 0, webSocketPort: 0, httpPort: 0 };
  const controller = await startController(options);
  const service = new ControllerClient(controller.httpUrl);
  const north = await ProtocolNode.join(controller.mqttUrl, 'north-1', { site: 'north' });
  const south = await ProtocolNode.join(controller.mqttUrl, 'south-1', { site: 'south' });
  try {
    await eventually(
      'both are there',
      async () => (await service.nodes()).filter((view) => view.reported).length === 2,
    );
    const view = await service.settings.put(
      settings('quiet', { values: { logLevel: 'warn' }, selector: { labels: { site: 'north' } } }),
    );
    assert.equal(
      view.nodes.map((one) => one.node),
      ['north-1'],
    );
    await north.hears('settings', (desired) => desired.settings?.logLevel === 'warn');
    await service.settings.put(settings('all', { values: { logLevel: 'error', metricsIntervalMs: 7_000 } }));
    await south.hears('those for everybody', (desired) => desired.settings?.logLevel === 'error');
    const heard = await north.hears('both', (desired) => desired.settings?.metricsIntervalMs === 7_000);
    assert.is(heard.settings?.logLevel, 'warn', 'a label is narrower than no condition');
    const explained = await service.settings.explain('north-1');
    assert.is(explained.isAble, false, 'this node names no features');
    assert.equal(
      explained.settings.map(({ setting, from, over }) => [setting, from, over]),
      [
        ['logLevel', 'quiet', ['all']],
        ['metricsIntervalMs', 'all', []],
      ],
    );
    await service.settings.remove('quiet');
    await north.hears('what is left', (desired) => desired.settings?.logLevel === 'error');
    assert.match(await refusalOf(service.settings.remove('quiet')), /no settings "quiet"; there are all/);
    assert.match(await refusalOf(service.settings.explain('nobody')), /no node "nobody"/);
    assert.match(await refusalOf(service.settings.put(settings('empty', { values: {} }))), /at least one setting/);
    const bad = settings('bad', { values: { metricsIntervalMs: 1 } });
    assert.match(await refusalOf(service.settings.put(bad)), /settings set: values\.metricsIntervalMs/);
  } finally {
    await north.leave();
    await south.leave();
    await controller.close();
  }
});

test.run();
