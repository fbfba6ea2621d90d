/** The devices as processes, against a real broker (aedes) on loopback. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { Aedes } from 'aedes';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeNote } from '../../../examples/fleet-in-a-box/judge.ts';
import { type DeviceKind, materialsFolder } from '../../../examples/fleet-in-a-box/truth.ts';

const feeds = join(materialsFolder, '..', 'feeds');

interface Broker {
  readonly port: number;
  readonly messages: { topic: string; payload: Buffer }[];
  /** Resolves when `enough` is true of what has come. */
  until(enough: (messages: Broker['messages']) => boolean): Promise<void>;
  close(): Promise<void>;
}

async function startBroker(port = 0): Promise<Broker> {
  const aedes = await Aedes.createBroker();
  const sockets = new Set<Socket>();
  const server: Server = createServer((socket) => {
    sockets.add(socket);
    aedes.handle(socket);
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const messages: Broker['messages'] = [];
  const check: (() => void)[] = [];
  aedes.on('publish', ({ topic, payload }, client) => {
    if (!client) return;
    messages.push({ topic, payload: payload as Buffer });
    for (const look of check) look();
  });
  return {
    port: (server.address() as AddressInfo).port,
    messages,
    until: (enough) => new Promise((resolve) => check.push(() => enough(messages) && resolve())),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await new Promise<void>((resolve) => aedes.close(resolve));
    },
  };
}

function startFeed(kind: DeviceKind, port: number): { process: ChildProcess; end(): Promise<number | null> } {
  const child = spawn(process.execPath, [join(feeds, `${kind}.ts`), '--broker', `mqtt://127.0.0.1:${port}`], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  return {
    process: child,
    async end() {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      return (await ended)[0];
    },
  };
}

for (const [kind, topic, note] of [
  ['factory-camera', 'factory/line-1/camera', 'demo/line-1/sent'],
  ['vehicle-camera', 'vehicle/van-7/camera', 'demo/van-7/sent'],
] as const)
  test(`the ${kind} announces each picture, sends its file as it is, and ends cleanly`, async () => {
    const broker = await startBroker();
    const feed = startFeed(kind, broker.port);
    await broker.until((messages) => messages.length >= 4);
    assert.is(await feed.end(), 0);
    const [first, second, third, fourth] = broker.messages;
    assert.equal([first?.topic, second?.topic, third?.topic, fourth?.topic], [note, topic, note, topic]);
    for (const [announced, picture] of [
      [first, second],
      [third, fourth],
    ]) {
      const { file = '' } = decodeNote(announced?.payload as Buffer) ?? {};
      assert.ok(picture?.payload.equals(readFileSync(join(materialsFolder, kind, file))), file);
    }
    await broker.close();
  });

test('both microphones send the samples of their recordings, a tenth of a second at a time', async () => {
  const broker = await startBroker();
  const feed = startFeed('city-microphone', broker.port);
  await broker.until((messages) => messages.length >= 2 + 2 * 5);
  assert.is(await feed.end(), 0);
  for (const station of ['market-square', 'harbour-street']) {
    const own = broker.messages.filter(({ topic }) => topic.split('/')[1] === station);
    const note = decodeNote(own[0]?.payload as Buffer);
    const sound = Buffer.concat(own.slice(1).map(({ payload }) => payload));
    const wav = readFileSync(join(materialsFolder, 'city-microphone', note?.file ?? ''));
    assert.ok(own.slice(1).every(({ topic, payload }) => topic === `city/${station}/audio` && payload.length === 3200));
    assert.ok(sound.length >= 4 * 3200 && sound.equals(wav.subarray(44, 44 + sound.length)), note?.file);
  }
  await broker.close();
});

test('a device that loses its broker goes on when it is back', async () => {
  const broker = await startBroker();
  const feed = startFeed('vehicle-camera', broker.port);
  await broker.until((messages) => messages.length >= 2);
  await broker.close();
  const again = await startBroker(broker.port);
  await again.until((messages) => messages.length >= 2);
  assert.is(await feed.end(), 0);
  assert.is(again.messages[1]?.topic, 'vehicle/van-7/camera');
  await again.close();
});

test('a device without a broker says so once and still ends cleanly', async () => {
  const broker = await startBroker();
  await broker.close();
  const feed = startFeed('factory-camera', broker.port);
  let text = '';
  feed.process.stderr?.on('data', (data) => {
    text += data;
  });
  await once(feed.process.stderr as NodeJS.ReadableStream, 'data');
  assert.is(await feed.end(), 0);
  assert.match(text, /^factory-camera: mqtt:\/\/127\.0\.0\.1:\d+: .*ECONNREFUSED.*\n$/);
});

test('a device refuses to start without the address of a broker', async () => {
  for (const wrong of [
    [],
    ['--broker', 'nowhere'],
    ['--broker', 'mqtt://127.0.0.1:1', '--seed', 'x'],
    ['--speed', '2'],
  ]) {
    const child = spawn(process.execPath, [join(feeds, 'factory-camera.ts'), ...wrong], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stderr.on('data', (data) => {
      text += data;
    });
    const [code] = await once(child, 'close');
    assert.is(code, 2, wrong.join(' '));
    assert.match(text, /usage: node FEED\.ts --broker/);
  }
});

test.run();
