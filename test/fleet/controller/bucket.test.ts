/** Files in a bucket: of Debian's Ceph, with real keys and real refusals. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';
import { connectAsync } from 'mqtt';
import { test as uvuTest } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import type { BlobStore } from '../../../fleet/controller/blob-store.ts';
import { openBucket } from '../../../fleet/controller/bucket-io.ts';
import { testWhere } from '../../requirement.ts';
import { keys, startCeph } from '../ceph.ts';
import { chunks, eventually, hashOf, killProcesses, refusalOf, startProcess, temporary } from '../fleet-parts.ts';
import { largest, scaling, startNodeProcess } from '../scaling-parts.ts';

const region = 'us-east-1';
const ceph = await startCeph();
const endpoint = 'url' in ceph ? ceph.url : 'http://127.0.0.1:9';
const test = testWhere(uvuTest, 'url' in ceph, 'needs' in ceph ? ceph.needs : '');
// Also for the controllers that tests start as processes.
Object.assign(process.env, { ...keys, AWS_ENDPOINT_URL_S3: endpoint, AWS_REGION: region });
const client = new S3Client({ endpoint, region, forcePathStyle: true });
if ('url' in ceph) await client.send(new CreateBucketCommand({ Bucket: 'fleet' }));

uvuTest.after(killProcesses);

const locationOf = async (store: BlobStore, sha256: string): Promise<string> => {
  const place = await store.place(sha256);
  return 'url' in place ? place.url : (assert.unreachable('expected an address') ?? '');
};

test('what was put is there, whole and in parts, until it is removed', async () => {
  const incoming = join(temporary(), 'incoming');
  const store = await openBucket('s3://fleet/models', incoming);
  const content = randomBytes(3_000_000);
  const sha256 = hashOf(content);
  assert.is(await store.has(sha256), false);
  assert.equal(await store.put(chunks(content), sha256), { sha256, bytes: content.length });
  assert.is(await store.size(sha256), content.length);
  assert.is(Buffer.compare(await store.read(sha256), content), 0);
  const before = Date.now();
  const [listed, ...others] = await store.list();
  assert.is(listed?.sha256, sha256);
  assert.is(others.length, 0);
  assert.ok(Math.abs((listed?.cameMs ?? 0) - before) < 600_000, 'its age is known');
  assert.equal(readdirSync(incoming), []);

  const url = await locationOf(store, sha256);
  const part = await fetch(url, { headers: { range: 'bytes=1000000-1999999' } });
  assert.is(part.status, 206);
  assert.is(Buffer.compare(Buffer.from(await part.arrayBuffer()), content.subarray(1_000_000, 2_000_000)), 0);
  await store.remove(sha256);
  assert.is(await store.size(sha256), undefined);
  assert.equal(await store.list(), []);
  assert.is((await fetch(url)).status, 404);
  assert.match(await refusalOf(store.read(sha256)), /in bucket "fleet": not there/);
});

test('one folder of a bucket does not see what is in another, and lists more than a page', async () => {
  const [store, other] = [
    await openBucket('s3://fleet/many', temporary()),
    await openBucket('s3://fleet', temporary()),
  ];
  const names = Array.from({ length: 1_005 }, (_, at) => hashOf(Uint8Array.of(at >> 8, at & 255)));
  for (let from = 0; from < names.length; from += 50)
    await Promise.all(
      names
        .slice(from, from + 50)
        .map((name) => client.send(new PutObjectCommand({ Bucket: 'fleet', Key: `many/${name}`, Body: 'x' }))),
    );
  const listed = (await store.list()).map(({ sha256 }) => sha256);
  assert.equal(listed.sort(), names.sort());
  assert.equal(await other.list(), []);
});

test('only who has a signed address gets a file, and only that file', async () => {
  const store = await openBucket('s3://fleet', temporary());
  const { sha256 } = await store.put(chunks(randomBytes(100)));
  const url = await locationOf(store, sha256);
  assert.is((await fetch(url)).status, 200);
  assert.is((await fetch(url.split('?')[0] as string)).status, 403);
  assert.is((await fetch(url.replace(/Signature=\w{8}/, 'Signature=00000000'))).status, 403);
  await store.remove(sha256);
});

test('content with another hash never reaches the bucket, and what is damaged there is not given out', async () => {
  const store = await openBucket('s3://fleet', temporary());
  const wanted = '0'.repeat(64);
  assert.match(await refusalOf(store.put(chunks(randomBytes(100)), wanted)), /expected SHA-256 0000/);
  assert.is(await store.has(wanted), false);
  await client.send(new PutObjectCommand({ Bucket: 'fleet', Key: wanted, Body: 'something else' }));
  assert.match(await refusalOf(store.read(wanted)), /was damaged in the bucket .* removed, send it again/);
  assert.is(await store.has(wanted), false);
});

test('a controller that cannot use its bucket says why at its start', async () => {
  const cases: [string, Record<string, string>, RegExp][] = [
    ['s3://fleet', { AWS_SECRET_ACCESS_KEY: 'another' }, /--blobs s3:\/\/fleet at http.*: refused \(403: wrong keys/],
    ['s3://nobody', {}, /--blobs s3:\/\/nobody at http.*: not there; is the bucket there/],
    ['s3://fleet', { AWS_ENDPOINT_URL_S3: 'http://127.0.0.1:9' }, /cannot be reached/],
    ['s3:fleet', {}, /expected a folder or an address such as s3:\/\/bucket\/folder, got "s3:fleet"/],
  ];
  for (const [address, changes, message] of cases) {
    const before = { ...process.env };
    Object.assign(process.env, changes);
    try {
      assert.match(await refusalOf(openBucket(address, temporary())), message);
    } finally {
      Object.assign(process.env, before);
    }
  }
});

test('nodes get their models from the bucket, also when the controller was killed and has lost its folder', async () => {
  const flags = ['--blobs', 's3://fleet/end-to-end'];
  const data = temporary();
  const controller = await startProcess(data, flags);
  const service = new ControllerClient(controller.httpUrl);
  const bytes = scaling(2);
  await service.putBlob(hashOf(bytes), chunks(bytes));
  await service.addModel('scale', hashOf(bytes));
  await service.putTrigger(largest, {});
  assert.is(existsSync(join(data, 'blobs')), false);
  const blob = `${controller.httpUrl}/v1/blobs/${hashOf(bytes)}`;
  const redirect = await fetch(blob, { redirect: 'manual' });
  assert.is(redirect.status, 307);
  assert.is(redirect.headers.get('cache-control'), 'no-store');
  const head = await fetch(blob, { method: 'HEAD', redirect: 'manual' });
  assert.is(head.headers.get('content-length'), String(bytes.length));

  const node = startNodeProcess(controller.mqttUrl, 'city-1', temporary());
  const client = await connectAsync(controller.mqttUrl, { protocolVersion: 4 });
  const answers: number[] = [];
  client.on('message', (_, payload) => answers.push(JSON.parse(payload.toString()).score));
  await client.subscribeAsync('answers/m1', { qos: 1 });
  await eventually('the trigger is ready on the node', async () => {
    const nodes = (await service.triggers())[0]?.nodes ?? [];
    return nodes.length === 1 && nodes[0]?.state === 'ready';
  });
  await client.publishAsync('sensors/m1/values', '{"id":"1","v":[1,5,3]}', { qos: 1 });
  assert.is(await eventually('an answer', () => answers[0]), 10);
  await client.endAsync();
  const left = once(node.child, 'close');
  node.child.kill('SIGTERM');
  await left;
  await controller.kill('SIGKILL');
  const next = await startProcess(temporary(), flags);
  const again = new ControllerClient(next.httpUrl);
  // The file is in the bucket, so it need not be sent again.
  const { sha256 } = await again.addModel('scale', hashOf(bytes));
  assert.is(sha256, hashOf(bytes));
  await next.kill('SIGTERM');
});

uvuTest.run();
