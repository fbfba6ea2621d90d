/** kill -9 under load: every message that the broker took at QoS 1 is answered at least once. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Random } from '../../random.ts';
import { cleanUp, connectClient, localFiles, newFolder, spawnNode, startBroker } from './bench.ts';

const ROUNDS = 4;
const PER_ROUND = 250;

test('no acknowledged QoS 1 message is lost when the node is killed under load', async () => {
  const seed = Number(process.env.SEED ?? (Math.random() * 2 ** 31) | 0);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  const broker = await startBroker();
  const client = await connectClient(broker.url, ['answers/#']);
  const flags = { name: 'victim', broker: broker.url, data: newFolder(), ...localFiles() };
  const acknowledged = new Set<number>();
  let id = 0;
  let node = spawnNode(flags);
  // The first connection makes the session; from then on the broker keeps messages while the node is dead.
  await node.said('answering messages');
  await client.send('sensors/a/values', { id: -1, v: [1, 2, 3] });
  await client.wait('the first answer', (message) => message.json?.id === -1);
  for (let round = 0; round < ROUNDS; round++) {
    const killAt = random.below(PER_ROUND);
    for (let count = 0; count < PER_ROUND; count++) {
      const own = id++;
      void client.send(`sensors/d${own % 5}/values`, { id: own, v: [1, 2, own] }).then(() => acknowledged.add(own));
      if (count === killAt) await node.stop('SIGKILL');
      if (random.next() < 0.2) await new Promise((resolve) => setTimeout(resolve, 3));
    }
    node = spawnNode(flags);
    await node.said('answering messages');
  }
  for (const own of Array.from({ length: id }, (_, index) => index))
    await client.wait(`the answer to ${own}`, (message) => message.json?.id === own);
  assert.is(acknowledged.size, id);
  assert.is(id, ROUNDS * PER_ROUND);
  const wrong = client.heard.filter(({ json }) => json.id >= 0 && json.score !== 2 * Math.max(2, json.id));
  assert.equal(wrong, []);
  assert.is(await node.stop('SIGTERM'), 0);
  await client.mqtt.endAsync();
  await broker.close();
});

test.after(cleanUp);
test.run();
