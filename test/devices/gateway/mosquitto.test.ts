/** The same node with a broker and clients that are not ours: Debian's mosquitto. */
import { execFile, spawn } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { endLater, eventually, killProcesses } from '../../fleet/fleet-parts.ts';
import { findProgram, testWhere } from '../../requirement.ts';
import { cleanUp, connectClient, localFiles, newFolder, spawnNode } from './bench.ts';

const mosquitto = findProgram('mosquitto');
const publisher = findProgram('mosquitto_pub');
const subscriber = findProgram('mosquitto_sub');
const testMosquitto = testWhere(
  test,
  mosquitto && publisher && subscriber,
  'the Debian packages mosquitto and mosquitto-clients',
);

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

async function listening(port: number): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const open = await new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => resolve(true)).on('error', () => resolve(false));
      socket.on('connect', () => socket.end());
    });
    if (open) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`nothing listens on port ${port}`);
}

/** @param settings further lines of mosquitto.conf(5) */
async function startMosquitto(port: number, folder: string, settings = 'persistence false') {
  const file = join(folder, 'mosquitto.conf');
  // As root it gives up its rights for those of a user who may not write into our folder.
  writeFileSync(file, `user root\nlistener ${port} 127.0.0.1\nallow_anonymous true\n${settings}\n`);
  const child = spawn(mosquitto as string, ['-c', file], { stdio: 'ignore' });
  const exited = new Promise((resolve) => child.on('close', resolve));
  endLater(child);
  await listening(port);
  const client = await connectClient(`mqtt://127.0.0.1:${port}`, ['answers/#', 'llmasos/#']);
  return {
    client,
    /** mosquitto(8): it writes its sessions and retained messages to the disk now. */
    save: () => void child.kill('SIGUSR1'),
    async stop(signal: NodeJS.Signals = 'SIGTERM') {
      await client.mqtt.endAsync(true);
      child.kill(signal);
      await exited;
    },
  };
}

const run = (program: string, args: string[]): Promise<string> =>
  new Promise((resolve, reject) =>
    execFile(program, args, (error, stdout) => (error ? reject(error) : resolve(stdout))),
  );

testMosquitto('mosquitto_pub asks and mosquitto_sub hears the right answer', async () => {
  const port = await freePort();
  const broker = await startMosquitto(port, newFolder());
  const node = spawnNode({ name: 'm', broker: `mqtt://127.0.0.1:${port}`, data: newFolder(), ...localFiles() });
  await node.said('answering messages');
  const heard = run(subscriber as string, ['-p', String(port), '-t', 'answers/+', '-C', '1', '-W', '10']);
  await new Promise((resolve) => setTimeout(resolve, 300));
  await run(publisher as string, [
    '-p',
    String(port),
    '-t',
    'sensors/a/values',
    '-q',
    '1',
    '-m',
    '{"id":1,"v":[4,9,2]}',
  ]);
  assert.is(JSON.parse(await heard).score, 18);
  assert.is(await node.stop('SIGTERM'), 0);
  await broker.client.wait('the farewell', ({ topic, json }) => topic.endsWith('/presence') && json.online === false);
  await broker.stop();
});

testMosquitto(
  'more than its window of unacknowledged messages flows, and a restart of mosquitto is survived',
  async () => {
    const port = await freePort();
    const folder = newFolder();
    const first = await startMosquitto(port, folder);
    const node = spawnNode({ name: 'm', broker: `mqtt://127.0.0.1:${port}`, data: newFolder(), ...localFiles() });
    await node.said('answering messages');
    await first.client.send('sensors/a/values', { id: -1, v: [1, 2, 3] });
    await first.client.wait('the first answer', (message) => message.json?.id === -1);
    // mosquitto sends 20 unacknowledged messages at most (max_inflight_messages).
    await Promise.all(
      Array.from({ length: 200 }, (_, id) => first.client.send('sensors/a/values', { id, v: [1, 2, id] })),
    );
    await first.client.wait('the last answer', (message) => message.json?.id === 199);
    const ids = first.client.heard.flatMap(({ topic, json }) =>
      topic === 'answers/a' && json.id >= 0 ? [json.id] : [],
    );
    assert.equal(
      [...new Set(ids)],
      Array.from({ length: 200 }, (_, id) => id),
    );
    await first.stop();
    await node.said('no connection to the broker');
    const second = await startMosquitto(port, folder);
    await second.client.wait('presence', ({ topic, json }) => topic.endsWith('/presence') && json.online);
    await new Promise((resolve) => setTimeout(resolve, 200));
    await second.client.send('sensors/a/values', { id: 500, v: [1, 2, 3] });
    await second.client.wait('an answer', (message) => message.json?.id === 500);
    assert.is(await node.stop('SIGTERM'), 0);
    await second.stop();
  },
);

testMosquitto(
  'a broker from a copy older than the subscriptions sends again, and what is retained is not answered anew',
  async () => {
    const [port, folder] = [await freePort(), newFolder()];
    const url = `mqtt://127.0.0.1:${port}`;
    const settings = `persistence true\npersistence_location ${folder}/`;
    const first = await startMosquitto(port, folder, settings);
    await first.client.mqtt.publishAsync('sensors/kept/values', '{"id":1,"v":[1,2,3]}', { qos: 1, retain: true });
    // The session that the copy remembers: the node's, as it was before it had subscribed to anything.
    const earlier = await connectAsync(url, { protocolVersion: 4, clientId: 'm', clean: false });
    await earlier.endAsync();
    first.save();
    await eventually('the copy is written', () => existsSync(join(folder, 'mosquitto.db')));
    const node = spawnNode({ name: 'm', broker: url, data: newFolder(), ...localFiles() });
    await node.said('"resumed":true');
    const answer = await first.client.wait(
      'the answer to the retained message',
      ({ topic }) => topic === 'answers/kept',
    );
    await first.stop('SIGKILL');
    await node.said('no connection to the broker');

    const second = await startMosquitto(port, folder, settings);
    await second.client.wait('presence', ({ topic, json }) => topic.endsWith('/presence') && json.online);
    await eventually('the node answers', async () => {
      await second.client.send('sensors/a/values', { id: 2, v: [1, 2, 3] });
      return second.client.heard.some(({ topic }) => topic === 'answers/a');
    });
    // The broker may have died before it confirmed the answer: then the same one comes again (QoS 1), but no other.
    const others = second.client.heard.filter(({ topic, text }) => topic === 'answers/kept' && text !== answer.text);
    assert.equal(others, []);
    assert.is(await node.stop('SIGTERM'), 0);
    await second.stop();
  },
);

test.after(() => {
  killProcesses();
  cleanUp();
});
test.run();
