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
  const refusing = new Set<string>();
  const later: (() => void)[] = [];
  return {
    refusing,
    /** Time passes. */
    pass: () => later.splice(0).forEach((work) => void work()),
    listed,
    calls,
    granted,
    cut: () => (up = false),
    mend: () => (up = true),
    boot: () =>
      createSubscriptions({
        async subscribe(filters: Filters) {
          await settle();
          if (!up) throw new Error('the connection ended');
          for (const [filter, qos] of Object.entries(filters)) {
            calls.push(`+${filter}`);
            if (!refusing.has(filter)) listed.set(filter, qos);
          }
          return Object.keys(filters).filter((filter) => refusing.has(filter));
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
        later: (work) => later.push(work),
      }),
  };
}

test('a session that is resumed from a copy older than the subscriptions has them again', async () => {
  const { listed, calls, boot, cut, mend } = world();
  const subscriptions = boot();
  subscriptions.connected(false);
  subscriptions.want({ a: 0, b: 1 });
  await settle();
  cut();
  listed.delete('b');
  mend();
  subscriptions.connected(true);
  await settle();
  assert.equal(
    [...listed],
    [
      ['a', 0],
      ['b', 1],
    ],
  );
  assert.equal(calls, ['+a', '+b', '+a', '+b']);
});

test('what is wanted just before a connection is told is asked for once, since each time brings the retained messages', async () => {
  const { calls, boot } = world();
  const subscriptions = boot();
  // mqtt.js has a connection a moment before it says so: a trigger that starts in between could subscribe already.
  subscriptions.want({ a: 1 });
  subscriptions.connected(true);
  subscriptions.want({ a: 1 });
  await settle();
  assert.equal(calls.splice(0), ['+a']);
  subscriptions.disconnected();
  subscriptions.want({ a: 1, b: 1 });
  subscriptions.connected(true);
  await settle();
  assert.equal(calls, ['+a', '+b']);
});

const message = (topic: string, text: string) => ({ topic, payload: new TextEncoder().encode(text) });

test('a retained message that comes again on a resumed session is a repeat, as often as it comes, while its content is the same', () => {
  const subscriptions = world().boot();
  subscriptions.want({ 'state/+': 1 });
  subscriptions.connected(false);
  assert.not(subscriptions.isRepeat(message('state/a', 'on')));
  assert.not(subscriptions.isRepeat(message('state/b', 'on')));
  subscriptions.connected(true);
  assert.ok(subscriptions.isRepeat(message('state/a', 'on')), 'it was not acknowledged [MQTT-4.4.0-1]');
  assert.ok(subscriptions.isRepeat(message('state/a', 'on')), 'it was subscribed once more [MQTT-3.8.4-3]');
  assert.not(subscriptions.isRepeat(message('state/b', 'off')), 'it changed while we were away');
  assert.ok(subscriptions.isRepeat(message('state/b', 'off')));
  assert.not(subscriptions.isRepeat(message('state/c', 'on')), 'it was on its way when the line was cut');
  // The session is gone: whether anybody was answered, nobody knows.
  subscriptions.connected(false);
  assert.not(subscriptions.isRepeat(message('state/a', 'on')));
});

test('a filter that is new on a resumed session, or that was refused until now, brings its retained messages', async () => {
  const { boot, refusing, pass } = world();
  const subscriptions = boot();
  refusing.add('+/b');
  subscriptions.want({ 'state/+': 1, '+/b': 1 });
  subscriptions.connected(false);
  await settle();
  await settle();
  for (const topic of ['state/a', 'state/b', 'state/c']) assert.not(subscriptions.isRepeat(message(topic, 'on')));
  subscriptions.connected(true);
  for (const topic of ['state/a', 'state/c']) assert.ok(subscriptions.isRepeat(message(topic, 'on')));
  assert.not(subscriptions.isRepeat(message('state/b', 'on')));
  await settle();
  await settle();
  refusing.clear();
  pass();
  assert.not(subscriptions.isRepeat(message('state/b', 'on')));
  subscriptions.want({ 'state/+': 1, '+/b': 1, '+/a': 1 });
  assert.not(subscriptions.isRepeat(message('state/a', 'on')));
  assert.ok(subscriptions.isRepeat(message('state/c', 'on')));
});

test('whoever subscribes anew gets the retained messages that an earlier trigger has had', () => {
  const subscriptions = world().boot();
  const message = { topic: 'state/a', payload: new Uint8Array(1) };
  subscriptions.want({ 'state/+': 1 });
  subscriptions.connected(false);
  assert.not(subscriptions.isRepeat(message));
  subscriptions.want({});
  subscriptions.connected(true);
  subscriptions.want({ 'state/+': 1 });
  assert.not(subscriptions.isRepeat(message));
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

test('what the broker refuses is told once, and asked for again until it is granted or no longer wanted', async () => {
  const { refusing, pass, calls, granted, boot } = world();
  for (const filter of ['b', 'c']) refusing.add(filter);
  const subscriptions = boot();
  subscriptions.connected(false);
  subscriptions.want({ a: 1, b: 1, c: 0 });
  await settle();
  await settle();
  assert.equal(calls.splice(0), ['+a', '+b', '+c', '!b', '!c']);
  pass();
  await settle();
  await settle();
  assert.equal(calls.splice(0), ['+b', '+c'], 'what was granted is left alone, what was told is not told again');
  subscriptions.want({ a: 1, b: 1 });
  refusing.clear();
  await settle();
  calls.splice(0);
  pass();
  await settle();
  await settle();
  assert.equal([calls, granted], [['+b'], ['a', 'b']]);
  pass();
  await settle();
  assert.equal(calls, ['+b']);
});

test.run();
