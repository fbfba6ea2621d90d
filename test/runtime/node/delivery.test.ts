import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type Delivery, type DeliveryOptions, openDelivery } from '../../../runtime/node/delivery.ts';
import type { Link, ResultMessage } from '../../../runtime/node/outgoing.ts';

const folder = mkdtempSync(join(tmpdir(), 'delivery-'));
let files = 0;
const newFile = () => join(folder, `${files++}.db`);
const open = (options: Partial<DeliveryOptions> = {}): Delivery =>
  openDelivery({ file: newFile(), handle: () => {}, onDisk: () => {}, now: () => 0, ...options });
const commit = () => new Promise((resolve) => setTimeout(resolve, 120));
const message = (topic: string, words: string, qos: 0 | 1 = 1): ResultMessage => ({
  topic,
  payload: new TextEncoder().encode(words),
  qos,
  retain: false,
  stream: { name: 'trigger', urgency: 2 },
});
const incoming = (words: string) => ({ ...message('in', words), receivedAt: 1 });

/** A broker's side: keeps what was sent; confirms when told to. */
function link() {
  const sent: { text: string; qos: 0 | 1; confirm: () => void }[] = [];
  const own: Link = {
    send({ topic, payload, qos }, confirm) {
      sent.push({ text: `${topic} ${new TextDecoder().decode(payload)}`, qos, confirm });
      if (qos === 0) confirm();
    },
  };
  return {
    ...own,
    sent,
    texts: () => sent.map(({ text }) => text),
    confirmAll: () => sent.forEach(({ qos, confirm }) => void (qos === 1 && confirm())),
  };
}

test('with the broker there a result leaves at once and touches no disk', async () => {
  const { outgoing, close } = open();
  const broker = link();
  outgoing.connected(broker);
  let safe = 0;
  outgoing.publish(message('a', '0', 0), () => safe++);
  outgoing.publish(message('a', '1'), () => safe++);
  assert.equal(broker.texts(), ['a 0', 'a 1']);
  assert.is(safe, 1);
  broker.confirmAll();
  assert.is(safe, 2);
  assert.not.ok(outgoing.hasWork);
  close();
});

test('a broker that comes back gets of each stream what it wants to keep, in order', async () => {
  const { outgoing, close } = open();
  const state = { name: 'state', urgency: 2, newestOnly: true };
  const [old, log] = [{ name: 'old', urgency: 2, ageMsMax: 0 }, message('log', '1')];
  outgoing.publish({ ...message('state/a', '1'), stream: state }, () => {});
  outgoing.publish({ ...message('old', '1'), stream: old }, () => {});
  outgoing.publish(log, () => {});
  await commit();
  outgoing.publish({ ...message('state/a', '2'), stream: state }, () => {});
  await commit();
  const broker = link();
  outgoing.connected(broker);
  assert.equal(broker.texts(), ['log 1', 'state/a 2']);
  broker.confirmAll();
  await commit();
  assert.is(outgoing.dropped, 1);
  close();
});

test('what was not confirmed when the connection ended is sent again, in order, before what came later', async () => {
  const file = newFile();
  const first = open({ file });
  const broken = link();
  first.outgoing.connected(broken);
  let safe = 0;
  for (const words of ['1', '2', '3']) first.outgoing.publish(message('a', words), () => safe++);
  broken.sent[0]?.confirm();
  first.outgoing.disconnected();
  first.outgoing.publish(message('a', '4', 0), () => safe++);
  assert.is(safe, 1);
  await commit();
  assert.is(safe, 4);
  assert.is(first.outboxItems, 3);
  first.close();

  // A new process finds them.
  const second = open({ file });
  const broker = link();
  second.outgoing.connected(broker);
  second.outgoing.publish(message('a', '5', 0), () => {});
  second.outgoing.publish(message('b', 'other', 0), () => {});
  assert.equal(broker.texts(), ['a 2', 'a 3', 'a 4', 'b other']);
  await commit();
  broker.confirmAll();
  await commit();
  broker.confirmAll();
  await commit();
  assert.equal(broker.texts(), ['a 2', 'a 3', 'a 4', 'b other', 'a 5']);
  assert.ok(broker.sent.every(({ qos, text }) => qos === 1 || text === 'b other'));
  assert.is(second.outboxItems, 0);
  second.outgoing.publish(message('a', '6', 0), () => {});
  assert.is(broker.texts().at(-1), 'a 6');
  second.close();
});

test('a broker that confirms nothing gets a window, and the rest waits on disk', async () => {
  const { outgoing, close } = open();
  const broker = link();
  outgoing.connected(broker);
  for (let count = 0; count < 1500; count++) outgoing.publish(message('a', String(count)), () => {});
  await commit();
  const again = link();
  outgoing.disconnected();
  outgoing.connected(again);
  for (let round = 0; round < 100 && outgoing.waiting + again.sent.length < 1501; round++) {
    again.confirmAll();
    await new Promise((resolve) => setTimeout(resolve, 25));
    if (again.sent.length >= 1500) break;
  }
  assert.equal(
    again.texts(),
    Array.from({ length: 1500 }, (_, index) => `a ${index}`),
  );
  close();
});

test('an input is acknowledged when it is answered, or when it is journalled, in order of arrival', async () => {
  const answers: (() => void)[] = [];
  const acknowledged: string[] = [];
  const file = newFile();
  const first = open({ file, handle: (_, answered) => answers.push(answered) });
  const receive = (words: string) => first.incoming.receive(incoming(words), () => acknowledged.push(words));
  for (const words of ['1', '2', '3']) receive(words);
  answers[1]?.();
  assert.equal(acknowledged, []);
  answers[0]?.();
  assert.equal(acknowledged, ['1', '2']);
  await commit();
  assert.equal(acknowledged, ['1', '2', '3']);
  receive('4');
  await commit();
  answers[3]?.();
  await commit();
  first.close();

  // '3' was acknowledged and never answered: the next process handles it.
  const replayed: string[] = [];
  const second = open({
    file,
    handle({ payload, qos }, answered) {
      replayed.push(`${new TextDecoder().decode(payload)} at QoS ${qos}`);
      answered();
    },
  });
  second.incoming.replay();
  await commit();
  second.close();
  assert.equal(replayed, ['3 at QoS 1']);
  open({ file, handle: () => assert.unreachable('it was answered') }).incoming.replay();
});

test('an input is journalled only when it was open for a whole period: fast models cost no disk', () => {
  const answers: (() => void)[] = [];
  const { incoming: inputs, close } = open({ handle: (_, answered) => answers.push(answered) });
  inputs.receive(incoming('fast'), () => {});
  assert.ok(inputs.look());
  answers[0]?.();
  inputs.receive(incoming('slow'), () => {});
  assert.ok(inputs.look());
  assert.not.ok(inputs.hasWork);
  assert.not.ok(inputs.look());
  assert.ok(inputs.hasWork);
  close();
});

test('after the connection ended nothing is acknowledged on the next one', async () => {
  const answers: (() => void)[] = [];
  let acknowledged = 0;
  const { incoming: inputs, close } = open({ handle: (_, answered) => answers.push(answered) });
  inputs.receive(incoming('1'), () => acknowledged++);
  inputs.disconnected();
  answers[0]?.();
  await commit();
  assert.is(acknowledged, 0);
  close();
});

test('with a full disk inputs stay unacknowledged until answered, results still leave, and all is well when there is room again', async () => {
  const disk: string[] = [];
  const answers: (() => void)[] = [];
  const acknowledged: string[] = [];
  const {
    incoming: inputs,
    outgoing,
    close,
  } = open({
    handle: (_, answered) => answers.push(answered),
    onDisk: (error) => disk.push(error?.message ?? 'well'),
    fileBytesMax: 100_000,
  });
  inputs.receive(incoming('x'.repeat(200_000)), () => acknowledged.push('large'));
  inputs.receive(incoming('small'), () => acknowledged.push('small'));
  await commit();
  assert.equal(disk, ['database or disk is full']);
  assert.equal(acknowledged, []);
  const broker = link();
  outgoing.connected(broker);
  outgoing.publish(message('a', '1'), () => {});
  assert.equal(broker.texts(), ['a 1']);
  answers[0]?.();
  assert.equal(acknowledged, ['large']);
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  assert.equal(acknowledged, ['large', 'small']);
  assert.equal(disk, ['database or disk is full', 'well']);
  close();
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
