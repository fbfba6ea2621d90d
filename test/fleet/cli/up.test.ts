/** A fleet in a box as a person starts and ends it. */
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import { testWhere } from '../../requirement.ts';
import { eventually, temporary } from '../fleet-parts.ts';
import { endAll, isAlive, llmasos, type Typed, type, unusedPort } from './terminal.ts';

interface Box {
  readonly typed: Typed;
  readonly httpUrl: string;
  /** Of every process that it started. */
  readonly pids: readonly number[];
}

async function up(): Promise<Box> {
  const data = temporary();
  const ports = ['--mqtt-port', '--ws-port', '--http-port'];
  const flags: string[] = [];
  for (const flag of ports) flags.push(flag, String(await unusedPort()));
  const typed = type(['up', '--nodes', 'city-1', 'factory-1', '--data', data, ...flags]);
  await eventually('it says that it runs', () => {
    assert.is(typed.child.exitCode, null, typed.err());
    return typed.out().includes('Ctrl-C ends everything');
  });
  const httpUrl = `http://127.0.0.1:${flags[5]}`;
  const controller = new ControllerClient(httpUrl);
  await eventually(
    'both nodes are online',
    async () => (await controller.nodes()).filter(({ online }) => online).length === 2,
  );
  const pids = childrenOf(typed.child.pid as number);
  assert.is(pids.length, 3);
  return { typed, httpUrl, pids };
}

/** proc(5): /proc/pid/task/tid/children. */
function childrenOf(pid: number): number[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
}

const testWithProc = testWhere(test, process.platform === 'linux', '/proc');

test.after(endAll);

testWithProc('up starts controller and nodes; Ctrl-C ends every process with 0', async () => {
  const { typed, httpUrl, pids } = await up();
  assert.match(typed.out(), new RegExp(`controller +${httpUrl}`));
  assert.match(typed.out(), /nodes +city-1, factory-1/);
  typed.child.kill('SIGINT');
  const { code, err } = await typed.ended;
  assert.is(code, 0, err);
  assert.is(err, '');
  assert.not.ok(pids.some(isAlive), 'a process was left behind');
});

testWithProc('kill -9 of up leaves no process behind either', async () => {
  const { typed, pids } = await up();
  typed.child.kill('SIGKILL');
  await typed.ended;
  await eventually('all have ended', () => !pids.some(isAlive));
});

test('Ctrl-C ends it while the controller cannot start, here because another one uses the folder', async () => {
  const data = temporary();
  const other = await startController({ data: join(data, 'controller'), mqttPort: 0, webSocketPort: 0, httpPort: 0 });
  const typed = type(['up', '--data', data, '--http-port', String(await unusedPort())]);
  await eventually('it tells of the controller and why', () =>
    /controller exited with code 2 \("llmasos controller: .*folder/.test(typed.out()),
  );
  typed.child.kill('SIGINT');
  const { code, err } = await typed.ended;
  await other.close();
  assert.is(code, 1);
  assert.match(err, /^llmasos: stopped before the controller answered at/);
});

test('a port that is in use is named, and nothing is started', async () => {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const { code, err, out } = await llmasos('up', '--data', join(temporary(), 'box'), '--http-port', String(port));
  server.close();
  assert.is(code, 1);
  assert.is(out, '');
  assert.is(err, `llmasos: --http-port ${port}: the port is in use; stop what listens there or choose another port\n`);
});

test('a name that no node can have is refused before anything is started', async () => {
  const { code, err } = await llmasos('up', '--data', join(temporary(), 'box'), '--nodes', 'city 1');
  assert.is(code, 1);
  assert.match(err, /--nodes "city 1": expected letters, digits, _ and - only/);
});

test.run();
