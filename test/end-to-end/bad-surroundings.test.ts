/** What goes wrong around the fleet: a broker that refuses, disappears or passes on anything; a full disk; a port in use. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  cleanUp,
  connectClient,
  largestTrigger,
  localFiles,
  newFolder,
  scaleModel,
  spawnNode,
  type TestClient,
} from '../devices/gateway/bench.ts';
import { eventually, killProcesses, modelBytes, startProcess, temporary } from '../fleet/fleet-parts.ts';
import { testWhere } from '../requirement.ts';
import { freePort, llmasos, llmasosDone, startMosquitto, whereMosquitto } from './processes.ts';

const json = (value: unknown) => JSON.stringify(value);
let messages = 0;

/** Sends a good message and waits for its answer. */
async function ask(client: TestClient): Promise<void> {
  const id = ++messages;
  await client.send('sensors/d/values', { id, v: [1, 5, 3] });
  const answer = await client.wait(
    `the answer to ${id}`,
    ({ topic, json }) => topic === 'answers/d' && json?.id === id,
  );
  assert.is(answer.json.score, 10);
}

whereMosquitto(test)(
  'a broker that refuses is named by controller and node, and joined as soon as it lets them in',
  async () => {
    const port = await freePort();
    const strict = await startMosquitto(port, 'allow_anonymous false\npersistence false');
    const controller = await startProcess(temporary(), ['--broker', strict.url]);
    const node = spawnNode({ name: 'edge', broker: strict.url, data: newFolder(), ...localFiles() });
    await node.said('no connection to the broker: Connection refused: Not authorized');
    await eventually('the controller says so too', () =>
      /no connection to the broker.*Not authorized/.test(controller.output()),
    );
    const listed = await llmasosDone(controller.httpUrl, 'nodes');
    assert.not.match(listed, /edge/);
    await strict.stop();
    const open = await startMosquitto(port);
    await node.said('answering messages');
    const client = await connectClient(open.url, ['answers/#']);
    await ask(client);
    await eventually('the controller knows the node', async () =>
      (await llmasosDone(controller.httpUrl, 'nodes')).includes('edge'),
    );
    await client.mqtt.endAsync();
    assert.is(await node.stop('SIGTERM'), 0);
    assert.is(await controller.kill('SIGTERM'), 0);
    await open.stop();
  },
);

whereMosquitto(test)(
  'a broker that disappears is waited for; commands go on without it, and a new node is told when it is back',
  async () => {
    const port = await freePort();
    const first = await startMosquitto(port);
    const controller = await startProcess(temporary(), ['--broker', first.url]);
    const node = spawnNode({ name: 'edge', broker: first.url, data: newFolder() });
    await node.said('connected to the broker');
    await first.stop('SIGKILL');
    await node.said('no connection to the broker: connect ECONNREFUSED');
    // What a person changes meanwhile is kept and told later.
    const model = join(newFolder(), 'scale.onnx');
    writeFileSync(model, scaleModel(1));
    await llmasosDone(controller.httpUrl, 'models', 'add', model);
    const trigger = join(newFolder(), 'largest.json');
    writeFileSync(trigger, json(largestTrigger('largest', 'scale')));
    await llmasosDone(controller.httpUrl, 'triggers', 'add', trigger);
    const asked = await llmasos(controller.httpUrl, 'infer', 'scale', '--node', 'edge', '--json', trigger);
    assert.is(asked.code, 1);
    assert.match(asked.stderr, /^llmasos: .*\n$/);
    const second = await startMosquitto(port);
    const client = await connectClient(second.url, ['answers/#']);
    await node.said('answering messages');
    await ask(client);
    await client.mqtt.endAsync();
    assert.is(await node.stop('SIGTERM'), 0);
    assert.is(await controller.kill('SIGTERM'), 0);
    await second.stop();
  },
);

whereMosquitto(test)(
  '200 MB that a broker passes on are refused by the node in one sentence, and the next message is answered',
  async () => {
    // mosquitto's own limit is MQTT's: 256 MiB (mosquitto.conf(5), message_size_limit).
    const broker = await startMosquitto(await freePort());
    const client = await connectClient(broker.url, ['answers/#', 'llmasos/v1/nodes/edge/errors/#']);
    const node = spawnNode({ name: 'edge', broker: broker.url, data: newFolder(), ...localFiles() });
    await node.said('answering messages');
    await client.send('sensors/d/values', Buffer.alloc(200 * 2 ** 20));
    await ask(client);
    const errors = client.heard.filter(({ topic }) => topic.includes('/errors/'));
    assert.is(errors.length, 1);
    assert.match(errors[0]?.json.error, /^message: expected at most [\d,]+ bytes, got 209,?715,?200/);
    await client.mqtt.endAsync();
    assert.is(await node.stop('SIGTERM'), 0);
    await broker.stop();
  },
);

const disks: string[] = [];

/** A folder on a disk of its own, or undefined where this machine does not let us. */
function mountDisk(size: string): string | undefined {
  const folder = join(temporary(), 'disk');
  mkdirSync(folder);
  try {
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${size}`, 'tmpfs', folder], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  disks.push(folder);
  return folder;
}

/** Takes all that is left, to the last byte. Returns the file that does. */
function fill(disk: string): string {
  const file = join(disk, 'filler');
  for (let size = 2 ** 20; size >= 1; ) {
    try {
      writeFileSync(file, Buffer.alloc(size), { flag: 'a' });
    } catch (error) {
      assert.is((error as NodeJS.ErrnoException).code, 'ENOSPC');
      size = Math.floor(size / 2);
    }
  }
  return file;
}

const disk = mountDisk('24m');

testWhere(
  test,
  disk,
  'root and a kernel that lets it mount, for a tiny disk',
)('on a full disk a node answers on, says what it cannot keep, and takes it up again when there is room', async () => {
  const controller = await startProcess(temporary());
  const { httpUrl, mqttUrl } = controller;
  const node = spawnNode({ name: 'edge', broker: mqttUrl, data: join(disk as string, 'node'), ...localFiles() });
  const client = await connectClient(mqttUrl, ['answers/#']);
  await node.said('answering messages');
  const filler = fill(disk as string);
  await ask(client);
  const folder = newFolder();
  writeFileSync(join(folder, 'vad.onnx'), modelBytes);
  const sound = {
    ...{ name: 'sound', topic: 'sound/{device}', decode: { format: 'audio', raw: 'int16', rate: 16_000 } },
    window: { length: 512, context: 64 },
    stages: [
      {
        name: 's',
        model: 'vad',
        inputs: { state: { recurrent: 'stateN', dims: [2, 1, 128] }, sr: { constant: 16_000 } },
      },
    ],
    output: { topic: 'answers/{device}', fields: { device: 'topic.device' } },
  };
  writeFileSync(join(folder, 'sound.json'), json(sound));
  await llmasosDone(httpUrl, 'models', 'add', join(folder, 'vad.onnx'));
  await llmasosDone(httpUrl, 'triggers', 'add', join(folder, 'sound.json'));
  await eventually(
    'the node says that its disk is full',
    async () => /full/.test(await llmasosDone(httpUrl, 'triggers', 'list', '--json')) || /full|ENOSPC/.test(node.log()),
  );
  for (let count = 0; count < 50; count++) await ask(client);
  rmSync(filler);
  await eventually('the trigger is ready', async () => {
    const views = JSON.parse(await llmasosDone(httpUrl, 'triggers', 'list', '--json'));
    return views[0].nodes[0]?.state === 'ready';
  });
  await ask(client);
  await client.mqtt.endAsync();
  assert.is(await node.stop('SIGTERM'), 0);
  assert.is(await controller.kill('SIGTERM'), 0);
});

testWhere(
  test,
  disk,
  'root and a kernel that lets it mount, for a tiny disk',
)('on a full disk a controller refuses a model in one sentence, and takes it when there is room', async () => {
  const controller = await startProcess(join(disk as string, 'controller'));
  const filler = fill(disk as string);
  const model = join(newFolder(), 'vad.onnx');
  writeFileSync(model, modelBytes);
  const refused = await llmasos(controller.httpUrl, 'models', 'add', model);
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /^llmasos: .*full.*\n$/);
  assert.match(await llmasosDone(controller.httpUrl, 'models', 'list'), /There are no models yet/);
  rmSync(filler);
  assert.match(await llmasosDone(controller.httpUrl, 'models', 'add', model), /added vad version 1/);
  assert.is(await controller.kill('SIGTERM'), 0);
});

test('a port in use is one sentence that names the flag, for every command that listens', async () => {
  const taken = createServer().listen(0, '127.0.0.1').unref();
  await new Promise((resolve) => taken.once('listening', resolve));
  const { port } = taken.address() as { port: number };
  const flags = ['--mqtt-port', '--ws-port', '--http-port'];
  const others = (flag: string) => flags.filter((other) => other !== flag).flatMap((other) => [other, '0']);
  for (const flag of flags) {
    const failed = await startProcess(temporary(), [flag, `${port}`, ...others(flag)]).then(
      () => 'it started',
      (error: Error) => error.message,
    );
    assert.match(
      failed,
      new RegExp(`^exit code 2: llmasos controller: ${flag} ${port} on 127.0.0.1: the port is in use; .*\n$`),
    );
    const up = await llmasos('http://127.0.0.1:1', 'up', '--data', temporary(), flag, `${port}`);
    assert.is(up.code, 1);
    assert.match(up.stderr, new RegExp(`^llmasos: ${flag} ${port}: the port is in use; .*\n$`));
  }
  taken.close();
});

test.after(() => {
  killProcesses();
  for (const folder of disks) execFileSync('umount', ['--lazy', folder]);
  cleanUp();
});
test.run();
