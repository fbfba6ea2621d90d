import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decideSettings, NodeSettings } from '../../../runtime/node/settings.ts';
import type { SettingName, Settings } from '../../../runtime/protocol/settings.ts';

test('each setting is taken or refused by itself, and what this version does not know is said to be unknown', () => {
  const wanted = { logLevel: 'debug', metricsIntervalMs: 12, memoryBudgetMb: 200, ofTomorrow: { a: 1 } };
  const { taken, report } = decideSettings(wanted, {}, {});
  assert.equal(taken, { logLevel: 'debug', memoryBudgetMb: 200 });
  assert.equal(
    report.map(({ name, state, value }) => [name, state, value]),
    [
      ['logLevel', 'applied', 'debug'],
      ['memoryBudgetMb', 'applied', 200],
      ['metricsIntervalMs', 'failed', undefined],
      ['ofTomorrow', 'unknown', undefined],
    ],
  );
  assert.match(report[2]?.error as string, /^metricsIntervalMs: .*500; the value before stays in force$/);
});

test('an invalid value leaves the one before in force, also over a restart, until there is none any more', () => {
  const saved: Settings[] = [];
  const applied: Settings[] = [];
  const ports = {
    flags: {},
    apply: (settings: Settings) => {
      applied.push(settings);
      return new Set<SettingName>();
    },
    save: (settings: Settings) => void saved.push(settings),
  };
  const node = new NodeSettings(ports, {});
  node.want({ metricsIntervalMs: 5_000, logLevel: 'warn' });
  node.want({ metricsIntervalMs: 'often', logLevel: 'warn' });
  assert.is(applied.at(-1)?.metricsIntervalMs, 5_000);
  const [, interval] = node.describe();
  assert.is(interval?.state, 'failed');
  assert.is(interval?.value, 5_000);
  const again = new NodeSettings(ports, saved.at(-1) as Settings);
  assert.is(applied.at(-1)?.metricsIntervalMs, 5_000, 'in force before any message came');
  again.want({ metricsIntervalMs: 'often', logLevel: 'warn' });
  assert.is(again.describe()[1]?.value, 5_000);
  again.want({ logLevel: 'warn' });
  assert.is(applied.at(-1)?.metricsIntervalMs, undefined);
  const count = applied.length;
  again.want({ logLevel: 'warn' });
  assert.is(applied.length, count, 'the same again changes nothing');
});

test('what the command line says wins, and is told', () => {
  const { taken, report } = decideSettings({ logLevel: 'debug', pinned: ['vad'] }, {}, { logLevel: 'error' });
  assert.equal(taken, { logLevel: 'debug', pinned: ['vad'] }, 'kept for a start without the flag');
  assert.equal(report[0], { name: 'logLevel', state: 'overridden', value: 'error' });
  assert.equal(report[1], { name: 'pinned', state: 'applied', value: ['vad'] });
});

test('what takes effect with the next start only is said to wait', () => {
  const ports = { flags: {}, apply: () => new Set<SettingName>(['tenants']), save: () => {} };
  const node = new NodeSettings(ports, {});
  node.want({ tenants: [{ name: 'line-1', weight: 3 }], logLevel: 'info' });
  assert.equal(
    node.describe().map(({ name, state }) => [name, state]),
    [
      ['logLevel', 'applied'],
      ['tenants', 'waiting'],
    ],
  );
});

test('what another version of the program has kept on the disk is read as far as it is understood', () => {
  const applied: Settings[] = [];
  const apply = (settings: Settings) => {
    applied.push(settings);
    return new Set<SettingName>();
  };
  new NodeSettings({ flags: {}, apply, save: () => {} }, { logLevel: 7, memoryBudgetMb: 50, ofTomorrow: true });
  assert.is(applied[0]?.memoryBudgetMb, 50);
  assert.is(applied[0]?.logLevel, undefined);
});

test.run();
