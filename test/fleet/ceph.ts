/**
 * Debian's Ceph as processes of a test: one monitor, one store and the gateway that speaks S3, in a folder of their own on free ports.
 * As the pages ceph-mon(8), ceph-osd(8) and radosgw(8) describe it, but with one copy of everything.
 */
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../end-to-end/processes.ts';
import { findProgram } from '../requirement.ts';
import { eventually, temporary } from './fleet-parts.ts';

const PROGRAMS = ['ceph', 'ceph-authtool', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin'];

const isInstalled = PROGRAMS.every((name) => findProgram(name));

export const keys = { AWS_ACCESS_KEY_ID: 'fleet', AWS_SECRET_ACCESS_KEY: 'the secret of the fleet' };

function settings(folder: string, id: string, monitor: number): string {
  return `[global]
fsid = ${id}
mon host = [v2:127.0.0.1:${monitor}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
keyring = ${folder}/keyring
run dir = ${folder}
admin socket = ${folder}/$name.asok
log file =
mon data = ${folder}/mon
osd data = ${folder}/osd
rgw data = ${folder}/rgw
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
osd pool default pg num = 1
osd pool default pg autoscale mode = off
mon max pg per osd = 2000
osd crush chooseleaf type = 0
osd objectstore = bluestore
bluestore block size = 2147483648
osd memory target = 939524096
mon data avail crit = 1
mon data avail warn = 2
`;
}

/** The address of a gateway where one user has `keys`; it ends with the test's process. Or what this machine lacks for it. */
export async function startCeph(): Promise<{ url: string } | { needs: string }> {
  if (!isInstalled) return { needs: 'the Debian packages ceph-mon, ceph-osd, ceph-common and radosgw' };
  try {
    return { url: await start() };
  } catch (error) {
    // Containers often limit what its store needs: asynchronous input and output, memory, space.
    return { needs: `a machine on which Ceph starts: ${(error as Error).message.trim().split('\n').at(-1)}` };
  }
}

async function start(): Promise<string> {
  const folder = temporary();
  for (const name of ['mon', 'osd', 'rgw']) mkdirSync(join(folder, name));
  const [id, store, monitor, port] = [randomUUID(), randomUUID(), await freePort(), await freePort()];
  const file = join(folder, 'ceph.conf');
  writeFileSync(file, settings(folder, id, monitor));
  const call = (program: string, ...words: string[]): void =>
    void execFileSync(findProgram(program) as string, words, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  const run = (program: string, ...words: string[]): void => {
    const child = spawn(findProgram(program) as string, ['-c', file, '-f', ...words], { cwd: folder, stdio: 'ignore' });
    // It keeps the test's process running no longer than the tests do, and goes with it.
    child.unref();
    process.once('exit', () => child.kill('SIGKILL'));
  };
  const admin = ['--cap', 'mon', 'allow *', '--cap', 'osd', 'allow *'];
  call('ceph-authtool', '--create-keyring', 'keyring', '--gen-key', '-n', 'mon.', '--cap', 'mon', 'allow *');
  for (const name of ['client.admin', 'osd.0', 'client.rgw'])
    call('ceph-authtool', 'keyring', '--gen-key', '-n', name, ...admin);
  call('monmaptool', '--create', '--fsid', id, '--addv', 'a', `[v2:127.0.0.1:${monitor}]`, 'monmap');
  call('ceph-mon', '-c', file, '-i', 'a', '--mkfs', '--monmap', 'monmap', '--keyring', 'keyring');
  run('ceph-mon', '-i', 'a');
  const ask = (...words: string[]): void => call('ceph', '-c', file, '--connect-timeout', '60', ...words);
  ask('auth', 'import', '-i', 'keyring');
  ask('osd', 'new', store);
  call('ceph-osd', '-c', file, '-i', '0', '--mkfs', '--osd-uuid', store);
  run('ceph-osd', '-i', '0');
  const { AWS_ACCESS_KEY_ID: access, AWS_SECRET_ACCESS_KEY: secret } = keys;
  const user = ['--uid=fleet', '--display-name=fleet', `--access-key=${access}`, `--secret-key=${secret}`];
  call('radosgw-admin', '-c', file, '-n', 'client.rgw', 'user', 'create', ...user);
  run('radosgw', '-n', 'client.rgw', `--rgw_frontends=beast endpoint=127.0.0.1:${port}`);
  const url = `http://127.0.0.1:${port}`;
  await eventually('the gateway of Ceph answers', () =>
    fetch(url).then(
      ({ ok }) => ok,
      () => false,
    ),
  );
  return url;
}
