/** A cluster of Debian's NATS servers that speak MQTT, as processes of a test (nats-server's own guide, "MQTT" and "JetStream clustering"). */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { freePort } from '../end-to-end/processes.ts';
import { findProgram, testWhere } from '../requirement.ts';
import { endLater, eventually, temporary } from './fleet-parts.ts';

const program = findProgram('nats-server');

export const whereNats = (test: Parameters<typeof testWhere>[0]) =>
  testWhere(
    test,
    program && process.env.LLMASOS_TEST_NATS,
    "Debian's package nats-server and LLMASOS_TEST_NATS=1: its version 2.9.10 takes up to 70 s to go on without a server, and now and then more than 100",
  );

export interface NatsServer {
  readonly url: string;
  kill(): Promise<void>;
  /** With what it had on its disk. */
  start(): void;
}

/** `ack_wait`: what was on its way to a client of the dead server is sent again after it, and not after 30 s. Resolves when clients of each server are served, which is when the servers have agreed on who leads. */
export async function startNats(count: number): Promise<NatsServer[]> {
  const ports = await Promise.all(
    Array.from({ length: count }, async () => [await freePort(), await freePort(), await freePort()] as const),
  );
  const routes = ports.map(([, , route]) => `nats-route://127.0.0.1:${route}`);
  const servers = ports.map(([client, mqtt, route], at) => {
    const folder = temporary();
    mkdirSync(join(folder, 'store'));
    const file = join(folder, 'nats.conf');
    writeFileSync(
      file,
      `server_name: n${at}
listen: 127.0.0.1:${client}
jetstream { store_dir: "${join(folder, 'store')}", max_mem: 256M, max_file: 1G }
mqtt { listen: 127.0.0.1:${mqtt}, ack_wait: "5s" }
cluster { name: fleet, listen: 127.0.0.1:${route}, routes: [${routes.join(', ')}] }
`,
    );
    return serverOf(file, `mqtt://127.0.0.1:${mqtt}`);
  });
  for (const server of servers) server.start();
  for (const { url } of servers) await eventually(`${url} serves`, () => isServing(url));
  return servers;
}

function serverOf(file: string, url: string): NatsServer {
  let child: ChildProcess;
  return {
    url,
    start() {
      child = spawn(program as string, ['-c', file], { stdio: 'ignore' });
      endLater(child);
    },
    async kill() {
      const closed = once(child, 'close');
      child.kill('SIGKILL');
      await closed;
    },
  };
}

async function isServing(url: string): Promise<boolean> {
  try {
    const client = await connectAsync(url, { protocolVersion: 4, reconnectPeriod: 0, connectTimeout: 2_000 });
    await client.endAsync(true);
    return true;
  } catch {
    return false;
  }
}
