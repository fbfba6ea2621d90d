import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createSubscriptions, type Filters } from '../../../runtime/node/subscriptions.ts';

const settle = () => new Promise((resolve) => setImmediate(resolve));

/** A broker's list of subscriptions and a disk, which outlive the process. */
function world() {
  const listed = new Map<string, 0 | 1>();
  const calls: string[] = [];
  const granted: string[] = [];
  let disk: string[] = [];
  let up = true;
  return {
    listed,
    calls,
    granted,
    cut: () => (up = false),
    mend: () => (up = true),
    boot: () =>
      createSubscriptions({
        connected: () => up,
        async subscribe(filters: Filters) {
          await settle();
          if (!up) throw new Error('the connection ended');
          for (const [filter, qos] of Object.entries(filters)) {
            calls.push(`+${filter}`);
            listed.set(filter, qos);
          }
          return [];
        },
        async unsubscribe(filters) {
          for (const filter of filters) {
            calls.push(`-${filter}`);
            listed.delete(filter);
          }
        },
        load: () => disk,
        save: (filters) => {
          disk = filters;
        },
        onGranted: (filters) => granted.push(...filters),
        onRefused: (filter) => calls.push(`!${filter}`),
      }),
  };
}

test('a resumed session is asked for nothing that it has', async () => {
  const { calls, boot, cut, mend } = world();
  const subscriptions = boot();
  subscriptions.connected(false);
  subscriptions.want({ a: 0, b: 1 });
  await settle();
  cut();
  mend();
  subscriptions.connected(true);
  await settle();
  assert.equal(calls, ['+a', '+b']);
  subscriptions.connected(false);
  await settle();
  await settle();
  assert.equal(calls, ['+a', '+b', '+a', '+b']);
});

test('what a trigger that went no longer needs is unsubscribed, also after a restart', async () => {
  const { listed, boot } = world();
  const first = boot();
  first.want({ a: 0, b: 1 });
  first.connected(false);
  await settle();
  await settle();
  const second = boot();
  second.want({ b: 1, c: 0 });
  second.connected(true);
  await settle();
  await settle();
  assert.equal([...listed.keys()].sort(), ['b', 'c']);
});

test('a subscription that was cut off is asked for again', async () => {
  const { listed, granted, boot, cut, mend } = world();
  const subscriptions = boot();
  subscriptions.connected(false);
  subscriptions.want({ a: 1 });
  cut();
  await settle();
  await settle();
  assert.is(listed.size, 0);
  mend();
  subscriptions.connected(true);
  await settle();
  await settle();
  assert.ok(listed.has('a'));
  assert.equal(granted, ['a']);
});

test.run();
