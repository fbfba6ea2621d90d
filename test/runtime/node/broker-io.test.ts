import { createServer as createHttpServer, type Server as HttpServer } from 'node:http';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { Aedes } from 'aedes';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createWebSocketStream, WebSocketServer } from 'ws';
import { Broker, type BrokerOptions } from '../../../runtime/node/broker-io.ts';
import { parseBrokerAddress, withoutPassword } from '../../../runtime/node/broker-stream-io.ts';

const aedes = await Aedes.createBroker();
aedes.authenticate = (_, user, password, done) => {
  const known = user === 'pump station' && password?.toString() === 'p@ss';
  done(known ? null : Object.assign(new Error('no'), { returnCode: 5 }), known);
};
const plain = createServer(aedes.handle);
const web = createHttpServer();
new WebSocketServer({ server: web }).on('connection', (socket) => aedes.handle(createWebSocketStream(socket)));
const listen = (server: Server | HttpServer): Promise<number> =>
  new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve((server.address() as AddressInfo).port)));
const [port, webPort] = [await listen(plain), await listen(web)];
const login = 'pump%20station:p%40ss@127.0.0.1';

const farewell = { topic: 'farewell', payload: new Uint8Array([1]), qos: 1 as const, retain: false };

/** Connects, sends one message round and resolves with what came; or with the reason why there is no connection. */
function tryOut(url: string, clientId: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options: BrokerOptions = {
      url,
      clientId,
      will: () => farewell,
      onConnected() {
        broker.subscribe({ [`echo/${clientId}`]: 1 }).then(() => {
          broker.send({ topic: `echo/${clientId}`, payload: Buffer.from('hello'), qos: 1, retain: false }, () => {});
        }, reject);
      },
      onDisconnected(reason) {
        void broker.close(farewell).then(() => resolve(reason));
      },
      onMessage({ payload, topic, qos }, acknowledge) {
        acknowledge?.();
        void broker.close(farewell).then(() => resolve(`${topic} ${Buffer.from(payload)} ${qos}`));
      },
    };
    const broker = new Broker(options);
    broker.start().catch(reject);
  });
}

test('a broker is reached over TCP and over WebSocket, with name and password from the address', async () => {
  assert.is(await tryOut(`mqtt://${login}:${port}`, 'a'), 'echo/a hello 1');
  assert.is(await tryOut(`ws://${login}:${webPort}`, 'b'), 'echo/b hello 1');
});

test('subscriptions that a broker refuses are named, and the others are granted', async () => {
  aedes.authorizeSubscribe = (_, subscription, done) =>
    done(null, /secret/.test(subscription.topic) ? null : subscription);
  const filters = ['a', 'b', 'secret/1', 'c', 'd', 'e', 'secret/2'];
  const heard = await new Promise<unknown>((resolve, reject) => {
    const topics: string[] = [];
    const broker = new Broker({
      ...{ url: `mqtt://${login}:${port}`, clientId: 'curious', will: () => farewell, onDisconnected: reject },
      onConnected() {
        broker.subscribe(Object.fromEntries(filters.map((filter) => [filter, 1]))).then((refused) => {
          for (const topic of [...filters, 'a'])
            broker.send({ topic, payload: Buffer.from('hello'), qos: 1, retain: false }, () => {});
          const done = () => void broker.close(farewell).then(() => resolve({ refused, topics }));
          ended = () => topics.length === 6 && done();
        }, reject);
      },
      onMessage({ topic }, acknowledge) {
        acknowledge?.();
        topics.push(topic);
        ended();
      },
    });
    let ended = (): unknown => undefined;
    broker.start().catch(reject);
  });
  assert.equal(heard, { refused: ['secret/1', 'secret/2'], topics: ['a', 'b', 'c', 'd', 'e', 'a'] });
});

test('a broker that refuses says why', async () => {
  assert.match(await tryOut(`mqtt://127.0.0.1:${port}`, 'c'), /Not authorized/);
});

test('something else than a broker ends in a reason, not in an exception', async () => {
  const stranger = createServer((socket) => socket.on('error', () => {}).end('HTTP/1.1 400 Bad Request\r\n\r\n'));
  const strangerPort = await listen(stranger);
  assert.ok((await tryOut(`mqtt://127.0.0.1:${strangerPort}`, 'd')).length > 5);
  stranger.close();
});

test('an unacknowledged message comes again on the next connection, an acknowledged one does not', async () => {
  const heard: string[] = [];
  const received = async (acknowledges: boolean, count: number) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const broker = new Broker({
      url: `mqtt://${login}:${port}`,
      clientId: 'forgetful',
      will: () => farewell,
      onConnected: (resumed) => void (resumed || broker.subscribe({ again: 1 }).then(() => publish())),
      onDisconnected: () => {},
      onMessage({ payload }, acknowledge) {
        heard.push(Buffer.from(payload).toString());
        if (acknowledges) acknowledge?.();
        if (heard.length === count) resolve();
      },
    });
    await broker.start();
    await promise;
    await new Promise((done) => setTimeout(done, 50));
    await broker.close(farewell);
  };
  const publish = () => {
    for (const text of ['1', '2', '3'])
      aedes.publish(
        { cmd: 'publish', topic: 'again', payload: Buffer.from(text), qos: 1, retain: false, dup: false },
        () => {},
      );
  };
  await received(false, 3);
  await received(true, 6);
  assert.equal(heard, ['1', '2', '3', '1', '2', '3']);
  publish();
  await received(true, 9);
  assert.equal(heard.slice(6), ['1', '2', '3']);
});

test('of several servers the next one is tried, with one login for all', async () => {
  const { urls, username, password } = parseBrokerAddress('mqtt://me:p%40ss@a:1, mqtt://b:2,mqtt://me:p%40ss@c:3');
  assert.equal([urls.map(({ host }) => host), username, password], [['a:1', 'b:2', 'c:3'], 'me', 'p@ss']);
  assert.throws(
    () => parseBrokerAddress('mqtt://me:a@a,mqtt://me:b@b'),
    /broker mqtt:\/\/me:\*\*\*@b.*: expected one name and/,
  );
  assert.throws(
    () => parseBrokerAddress('mqtt://me:se,cret@a'),
    (error: Error) => !/se|cret/.test(error.message),
  );
  assert.is(withoutPassword('mqtt://me:se@a:1,mqtt://b'), 'mqtt://me:***@a:1,mqtt://b');
  // Nobody listens on the first (port 9, RFC 863).
  const servers = `mqtt://${login}:9,mqtt://127.0.0.1:${port}`;
  const lost = await new Promise<string>((resolve, reject) => {
    let reason = '';
    const broker = new Broker({
      ...{ url: servers, clientId: 'roaming', will: () => farewell, onMessage() {} },
      onConnected: () => void broker.close(farewell).then(() => resolve(reason)),
      onDisconnected(why) {
        reason = why;
      },
    });
    broker.start().catch(reject);
  });
  assert.match(lost, /ECONNREFUSED 127\.0\.0\.1:9/);
});

test('an address that is none is refused with an example of one', () => {
  for (const text of ['', 'nonsense', 'http://host', 'mqtt://', '127.0.0.1:1883'])
    assert.throws(() => parseBrokerAddress(text), /expected an address such as mqtt:\/\/host:1883/);
  for (const text of ['mqtt://h', 'mqtts://h:1', 'ws://h/mqtt', 'mqtt://[::1]:1883']) parseBrokerAddress(text);
  assert.throws(
    () => parseBrokerAddress('mqtt://user:50%@h'),
    /\*\*\*@h: write a "%" in its name or password as "%25"/,
  );
});

test.after(() => {
  aedes.close();
  plain.close();
  web.close();
  web.closeAllConnections();
});
test.run();
