import { execFileSync } from 'node:child_process';
import { createHash, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, open, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { createServer, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openBlobs } from '../../../runtime/store/blobs.ts';
import { eventually } from '../../fleet/fleet-parts.ts';
import { testWhere } from '../../requirement.ts';
import { serveChunks } from './chunk-server.ts';

const folder = await mkdtemp(join(tmpdir(), 'blobs-'));
const content = randomBytes(300_000);
const sha256 = createHash('sha256').update(content).digest('hex');
const fresh = () => mkdtemp(join(folder, 'case-'));

async function* chunks(bytes: Uint8Array, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** An HTTP server with Range, written here; `cutAt` ends the first answer after so many bytes. */
async function serve(body: Uint8Array, options: { cutAt?: number; ignoreRange?: boolean; status?: number } = {}) {
  const ranges: (string | undefined)[] = [];
  const server = createServer((request, response: ServerResponse) => {
    ranges.push(request.headers.range);
    if (options.status) return void response.writeHead(options.status).end();
    const from = options.ignoreRange ? 0 : Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const part = body.subarray(from);
    response.writeHead(from > 0 ? 206 : 200, {
      'content-length': part.length,
      ...(from > 0 && { 'content-range': `bytes ${from}-${body.length - 1}/${body.length}` }),
    });
    if (options.cutAt !== undefined && ranges.length === 1)
      response.write(part.subarray(0, options.cutAt), () => setTimeout(() => response.destroy(), 50));
    else response.end(part);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  return { server, url: `http://127.0.0.1:${port}/blobs/`, ranges };
}

const close = (server: Server) => new Promise((resolve) => server.close(resolve));

async function rejection(promise: Promise<unknown>): Promise<string> {
  return promise.then(
    () => assert.unreachable('expected a rejection') as never,
    (error: Error) => error.message,
  );
}

test('content is kept under its hash and read back', async () => {
  const blobs = await openBlobs(await fresh());
  assert.equal(await blobs.put(chunks(content)), { sha256, bytes: content.length });
  assert.ok(await blobs.has(sha256));
  assert.equal(Buffer.compare(await blobs.read(sha256), content), 0);
  assert.equal(await blobs.list(), { present: [sha256], partial: [] });
  await blobs.remove(sha256);
  assert.not.ok(await blobs.has(sha256));
});

test('content with another hash than announced, or too much of it, is refused and leaves nothing', async () => {
  const where = await fresh();
  assert.match(await rejection((await openBlobs(where)).put(chunks(content), '0'.repeat(64))), /expected SHA-256 0000/);
  assert.match(await rejection((await openBlobs(where, 1000)).put(chunks(content))), /at most 1000 bytes/);
  assert.equal(await readdir(where), []);
});

test('what a crash left half written is swept away at the next start', async () => {
  const where = await fresh();
  await writeFile(join(where, 'abc.tmp'), 'half');
  await openBlobs(where);
  assert.equal(await readdir(where), []);
});

test('a file that was damaged on disk is noticed when read and removed', async () => {
  const blobs = await openBlobs(await fresh());
  await blobs.put(chunks(content));
  await truncate(blobs.path(sha256), 1000);
  assert.match(await rejection(blobs.read(sha256)), /damaged on disk/);
  assert.not.ok(await blobs.has(sha256));
});

test('a path is given for a sound file only', async () => {
  const blobs = await openBlobs(await fresh());
  await blobs.put(chunks(content));
  assert.is(await blobs.checkedPath(sha256), blobs.path(sha256));
  await truncate(blobs.path(sha256), 1000);
  assert.match(await rejection(blobs.checkedPath(sha256)), /damaged on disk/);
  assert.match(await rejection(blobs.checkedPath(sha256)), /cannot be read/);
});

test('a hash that is not one cannot name a path', async () => {
  const blobs = await openBlobs(await fresh());
  assert.throws(() => blobs.path('../../etc/passwd'), /expected a SHA-256/);
});

test('a download that broke off is taken up where it stopped', async () => {
  const blobs = await openBlobs(await fresh());
  const { server, url, ranges } = await serve(content, { cutAt: 100_000 });
  await rejection(blobs.download(url, { sha256, bytes: content.length }));
  assert.not.ok(await blobs.has(sha256));
  const held = (await readFile(`${blobs.path(sha256)}.part`)).length;
  assert.ok(held > 0 && held <= 100_000);
  await blobs.download(url, { sha256, bytes: content.length });
  assert.equal(ranges, [undefined, `bytes=${held}-`]);
  assert.equal(Buffer.compare(await blobs.read(sha256), content), 0);
  await close(server);
});

test('a download keeps what it has while the sender cannot be had, and continues it then', async () => {
  const blobs = await openBlobs(await fresh());
  const file = { sha256, bytes: content.length };
  const cut = await serve(content, { cutAt: 100_000 });
  await rejection(blobs.download(cut.url, file));
  const held = (await readFile(`${blobs.path(sha256)}.part`)).length;
  const busy = await serve(content, { status: 503 });
  assert.match(await rejection(blobs.download(busy.url, file)), /from byte \d+ on, got status 503$/);
  await blobs.download(cut.url, file);
  assert.equal(cut.ranges, [undefined, `bytes=${held}-`]);
  assert.equal(Buffer.compare(await blobs.read(sha256), content), 0);
  await Promise.all([cut, busy].map(({ server }) => close(server)));
});

const MIB = 2 ** 20;
const large = randomBytes(5 * MIB + 12_345);

test('a file in chunks is taken up after the last whole one, and what was damaged meanwhile is fetched again alone', async () => {
  let held = true;
  const remote = await serveChunks(large, (part) => (held ? part.subarray(0, 3.5 * MIB) : part));
  const { url, file } = remote;
  const blobs = await openBlobs(await fresh());
  const path = `${blobs.path(file.sha256)}.part`;
  const stopped = new AbortController();
  const attempt = rejection(blobs.download(url, file, stopped.signal));
  await eventually('three chunks are there', async () => existsSync(path) && (await stat(path)).size === 3 * MIB);
  stopped.abort();
  assert.match(await attempt, /aborted/);
  held = false;
  const part = await open(path, 'r+');
  await part.write(Buffer.alloc(10), 0, 10, 1.5 * MIB);
  await part.close();
  await blobs.download(url, file);
  const last = large.length - 1;
  assert.equal(remote.ranges, [`0-${last}`, `${MIB}-${2 * MIB - 1}`, `${3 * MIB}-${last}`]);
  assert.equal(Buffer.compare(await blobs.read(file.sha256), large), 0);
  remote.server.closeAllConnections();
  await close(remote.server);
});

test('a chunk that arrives damaged is refused at once, and only it and what follows is fetched again', async () => {
  let damaged = true;
  const remote = await serveChunks(large, (part) => {
    if (damaged) part[2 * MIB + 7] = (part[2 * MIB + 7] as number) ^ 1;
    return part;
  });
  const { url, file } = remote;
  const blobs = await openBlobs(await fresh());
  assert.match(await rejection(blobs.download(url, file)), /chunk 3 of 6: expected SHA-256/);
  damaged = false;
  await blobs.download(url, file);
  assert.is(remote.ranges[1], `${2 * MIB}-${large.length - 1}`);
  assert.equal(Buffer.compare(await blobs.read(file.sha256), large), 0);
  await close(remote.server);
});

test('a list of chunks that is missing, another, or not of this file is said so', async () => {
  const { server, url, file } = await serveChunks(large);
  const blobs = await openBlobs(await fresh());
  assert.match(await rejection(blobs.download(url, { ...file, chunks: '0'.repeat(64) })), /status 404/);
  assert.match(await rejection(blobs.download(url, { ...file, chunks: file.sha256 })), /expected JSON|list of chunks/i);
  assert.match(await rejection(blobs.download(url, { ...file, bytes: 7 })), /expected those of the file, 7, got/);
  assert.not.ok(await blobs.has(file.sha256));
  await close(server);
});

test('a server without Range is asked for the whole file on the next attempt', async () => {
  const blobs = await openBlobs(await fresh());
  const { server, url } = await serve(content, { cutAt: 100_000, ignoreRange: true });
  await rejection(blobs.download(url, { sha256, bytes: content.length }));
  assert.match(await rejection(blobs.download(url, { sha256, bytes: content.length })), /starting over/);
  await blobs.download(url, { sha256, bytes: content.length });
  assert.ok(await blobs.has(sha256));
  await close(server);
});

test('a download of the wrong content, the wrong size or a wrong status is refused and leaves nothing', async () => {
  const where = await fresh();
  const blobs = await openBlobs(where);
  const { server, url } = await serve(randomBytes(content.length));
  assert.match(await rejection(blobs.download(url, { sha256, bytes: content.length })), /expected SHA-256/);
  assert.match(await rejection(blobs.download(url, { sha256, bytes: 1000 })), /expected 1000 bytes, got more/);
  await close(server);
  const missing = await serve(content, { status: 404 });
  assert.match(await rejection(blobs.download(missing.url, { sha256, bytes: content.length })), /status 404/);
  await close(missing.server);
  assert.match(await rejection(blobs.download(missing.url, { sha256, bytes: content.length })), /ECONNREFUSED/);
  assert.equal(
    (await readdir(where)).filter((name) => !name.endsWith('.part')),
    [],
  );
  assert.equal((await blobs.list()).present, []);
});

const canMount = process.platform === 'linux' && process.getuid?.() === 0 && tryMount();

function tryMount(): boolean {
  try {
    execFileSync('unshare', ['--mount', 'true'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

testWhere(
  test,
  canMount,
  'root and mount namespaces, for a tiny disk',
)('a full disk is named and nothing half-written stays', async () => {
  const where = await fresh();
  const disk = join(where, 'disk');
  await mkdir(disk);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=128k', 'tmpfs', disk]);
  const { server, url } = await serve(content);
  try {
    const blobs = await openBlobs(disk);
    assert.match(await rejection(blobs.put(chunks(content))), /the disk is full/);
    assert.equal(await readdir(disk), []);
    assert.match(await rejection(blobs.download(url, { sha256, bytes: content.length })), /the disk is full/);
    assert.equal(await readdir(disk), []);
    await blobs.put(chunks(content.subarray(0, 50_000)));
    assert.is((await blobs.list()).present.length, 1);
  } finally {
    await close(server);
    execFileSync('umount', [disk]);
  }
});

test.after(() => rm(folder, { recursive: true, force: true }));
test('what an abandoned download has left is listed after a start, and removed with its blob', async () => {
  const own = await fresh();
  const { server, url } = await serve(content, { cutAt: 100_000 });
  await rejection((await openBlobs(own)).download(url, { sha256, bytes: content.length }));
  await close(server);
  const blobs = await openBlobs(own);
  assert.equal(await blobs.list(), { present: [], partial: [sha256] });
  await blobs.remove(sha256);
  assert.equal(await readdir(own), []);
});

test.run();
