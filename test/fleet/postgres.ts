/** Debian's PostgreSQL as a process of a test: its own folder, a free port, no rights but those of an ordinary user. */
import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { Client } from 'pg';
import { test } from 'uvu';
import { freePort } from '../end-to-end/processes.ts';
import { testWhere } from '../requirement.ts';
import { eventually, temporary } from './fleet-parts.ts';

const VERSIONS = '/usr/lib/postgresql';
const programs = existsSync(VERSIONS)
  ? readdirSync(VERSIONS)
      .map((version) => join(VERSIONS, version, 'bin'))
      .find((folder) => existsSync(join(folder, 'postgres')))
  : undefined;

export const hasPostgres = programs !== undefined;

export const wherePostgres = (test: Parameters<typeof testWhere>[0]) =>
  testWhere(test, hasPostgres, "Debian's package postgresql");

/** The server does not run as root. Debian's package brings a user of its own. */
function ordinaryUser(): { uid?: number; gid?: number } {
  if (process.getuid?.() !== 0) return {};
  const idOf = (flag: string): number => Number(execFileSync('id', [flag, 'postgres'], { encoding: 'utf8' }));
  return { uid: idOf('-u'), gid: idOf('-g') };
}

/** Resolves with the address of its first database. It ends with the test's process. */
export async function startPostgres(): Promise<string> {
  const user = ordinaryUser();
  const folder = temporary();
  if (user.uid !== undefined && user.gid !== undefined) chownSync(folder, user.uid, user.gid);
  const data = join(folder, 'data');
  const words = ['-D', data, '-U', 'llmasos', '--locale=C', '-E', 'UTF8', '--auth=trust'];
  execFileSync(join(programs as string, 'initdb'), words, { ...user, stdio: 'ignore', cwd: folder });
  const port = await freePort();
  const settings = [`port=${port}`, 'listen_addresses=127.0.0.1', 'unix_socket_directories='];
  const flags = settings.flatMap((setting) => ['-c', setting]);
  const server = spawn(join(programs as string, 'postgres'), ['-D', data, ...flags], {
    ...user,
    stdio: 'ignore',
    cwd: folder,
  });
  // It keeps the test's process running no longer than the tests do, and goes with it (SIGQUIT: at once).
  server.unref();
  process.once('exit', () => server.kill('SIGQUIT'));
  const url = `postgres://llmasos@127.0.0.1:${port}/postgres`;
  await eventually('PostgreSQL answers', () => answers(url));
  return url;
}

/** It listens before it takes queries: until then it says that it is starting up (57P03, cannot_connect_now). */
async function answers(url: string): Promise<boolean> {
  const client = new Client(url);
  client.on('error', () => {});
  try {
    await client.connect();
    await client.query('SELECT 1');
    return true;
  } catch {
    return false;
  } finally {
    await client.end().catch(() => {});
  }
}

/** Runs the tests of a file once more, with the state in PostgreSQL. */
export async function againOnPostgres(what: string, load: () => Promise<unknown>): Promise<void> {
  if (hasPostgres) {
    process.env.LLMASOS_TEST_POSTGRES = await startPostgres();
    await load();
  } else {
    wherePostgres(test)(`${what} on PostgreSQL`, () => {});
    test.run();
  }
}
