/** The HTTP side with clients that are not ours: fetch, and curl where there is one. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { commandPath } from '../../../fleet/api/api.ts';
import { hasRoute } from '../../../fleet/commands/command.ts';
import { commands } from '../../../fleet/commands/index.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import { findProgram, testWhere } from '../../requirement.ts';
import { eventually, hashOf, temporary } from '../fleet-parts.ts';

const data = temporary();
const controller = await startController({ data, mqttPort: 0, webSocketPort: 0, httpPort: 0 });
const url = controller.httpUrl;
const content = randomBytes(3_000_000);
const sha256 = hashOf(content);
const blob = `${url}/v1/blobs/${sha256}`;
const curl = findProgram('curl');

test.after(() => controller.close());

const get = async (headers: Record<string, string>) => {
  const response = await fetch(blob, { headers });
  return { response, body: Buffer.from(await response.arrayBuffer()) };
};

const run = (name: string, body: string, headers: Record<string, string> = { 'content-type': 'application/json' }) =>
  fetch(`${url}/v1/commands/${name}`, { method: 'POST', headers, body });

test('a file comes back as it was sent, with its hash as the tag', async () => {
  const put = await fetch(blob, { method: 'PUT', body: content });
  assert.is(put.status, 201);
  assert.equal(await put.json(), { ok: true, result: { bytes: content.length } });
  const { response, body } = await get({});
  assert.is(response.status, 200);
  assert.is(response.headers.get('etag'), `"${sha256}"`);
  assert.is(response.headers.get('accept-ranges'), 'bytes');
  assert.is(Buffer.compare(body, content), 0);
  const head = await fetch(blob, { method: 'HEAD' });
  assert.is(head.headers.get('content-length'), String(content.length));
});

test('a part is sent as 206, what lies beyond the end as 416', async () => {
  const middle = await get({ range: 'bytes=1000000-1999999' });
  assert.is(middle.response.status, 206);
  assert.is(middle.response.headers.get('content-range'), `bytes 1000000-1999999/${content.length}`);
  assert.is(Buffer.compare(middle.body, content.subarray(1_000_000, 2_000_000)), 0);
  const last = await get({ range: 'bytes=-10' });
  assert.is(Buffer.compare(last.body, content.subarray(-10)), 0);
  const beyond = await get({ range: `bytes=${content.length}-` });
  assert.is(beyond.response.status, 416);
  assert.is(beyond.response.headers.get('content-range'), `bytes */${content.length}`);
});

test('conditions are obeyed: If-None-Match gives 304, another If-Range the whole file', async () => {
  assert.is((await get({ 'if-none-match': `"${sha256}"` })).response.status, 304);
  assert.is((await get({ 'if-none-match': `"other", W/"${sha256}"` })).response.status, 304);
  assert.is((await get({ 'if-none-match': '"other"' })).response.status, 200);
  assert.is((await get({ range: 'bytes=0-9', 'if-range': `"${sha256}"` })).response.status, 206);
  assert.is((await get({ range: 'bytes=0-9', 'if-range': '"other"' })).response.status, 200);
});

testWhere(
  test,
  curl,
  'curl',
)('curl resumes a download that broke off', async () => {
  const file = join(temporary(), 'part');
  await promisify(execFile)(curl as string, ['-sf', '-r', '0-999999', '-o', file, blob]);
  await promisify(execFile)(curl as string, ['-sf', '-C', '-', '-o', file, blob]);
  assert.is(hashOf(await readFile(file)), sha256);
});

test('an upload with another hash, an unfinished one and a bad name leave nothing behind', async () => {
  const before = await readdir(join(data, 'blobs'));
  const wrong = await fetch(`${url}/v1/blobs/${'c'.repeat(64)}`, { method: 'PUT', body: content });
  assert.is(wrong.status, 400);
  assert.match(((await wrong.json()) as { error: string }).error, /^blob: expected SHA-256 c{64}, the content has/);
  const named = await fetch(`${url}/v1/blobs/..%2Fcontroller.sqlite`, { method: 'PUT', body: 'x' });
  assert.is(named.status, 400);
  assert.is((await fetch(`${url}/v1/blobs/..%2Fcontroller.sqlite`)).status, 400);
  const cut = request(`${url}/v1/blobs/${'d'.repeat(64)}`, { method: 'PUT', headers: { 'content-length': 1_000_000 } });
  cut.on('error', () => {});
  await new Promise((resolve) => cut.write(content.subarray(0, 100_000), resolve));
  cut.destroy();
  await eventually('the cut upload is cleared away', async () => {
    const now = await readdir(join(data, 'blobs'));
    return now.length === before.length;
  });
});

test('a file beyond the limit is refused before it is sent', async () => {
  const status = await new Promise((resolve, reject) => {
    const huge = request(`${url}/v1/blobs/${'e'.repeat(64)}`, {
      method: 'PUT',
      headers: { 'content-length': 2 ** 40 },
    });
    huge.on('response', ({ statusCode }) => resolve(statusCode)).on('error', reject);
    huge.flushHeaders();
  }).catch((error: Error) => error.message);
  assert.is(status, 413);
});

test('every command without events is a route, and says what is wrong with its arguments', async () => {
  let seen = 0;
  for (const command of commands.filter(hasRoute)) {
    const answer = await run(commandPath(command), '{"nonsense": 1}');
    assert.is(answer.status, 400, commandPath(command));
    const { ok, error } = (await answer.json()) as { ok: boolean; error: string };
    assert.is(ok, false);
    assert.match(error, new RegExp(`^${command.name.join(' ')}: .*nonsense`));
    seen++;
  }
  assert.ok(seen >= 10, `saw only ${seen} commands`);
});

test('what is no request is refused with its status and a sentence', async () => {
  const cases: [Response, number, RegExp][] = [
    [await run('nodes', '{}', { 'content-type': 'text/plain' }), 415, /application\/json/],
    [await run('nodes', '{"half'), 400, /expected JSON/],
    [await run('watch', '{}'), 404, /^there is no command "watch"; there are nodes, models\.list/],
    [await run('nonsense', '{}'), 404, /no command "nonsense"/],
    [await run('nodes', `"${'x'.repeat(9_000_000)}"`), 413, /at most 8388608 bytes/],
    [await fetch(`${url}/elsewhere`), 404, /there is no GET \/elsewhere/],
    [await fetch(`${url}/v1/watch?filter=a/%23/b`), 400, /only as the last level/],
    [
      await run('nodes', '{}', { 'content-type': 'application/json', origin: 'https://evil.example' }),
      403,
      /a web page may only/,
    ],
  ];
  for (const [response, status, sentence] of cases) {
    assert.is(response.status, status);
    assert.match(((await response.json()) as { error: string }).error, sentence);
  }
  assert.is(cases.length, 8);
});

test('a name that points here from elsewhere does not pass for this machine', async () => {
  const status = await new Promise((resolve, reject) => {
    request(`${url}/healthz`, { headers: { host: 'evil.example' } }, ({ statusCode }) => resolve(statusCode))
      .on('error', reject)
      .end();
  });
  assert.is(status, 403);
});

test('health and the description of everything are there to be asked for', async () => {
  assert.equal(await (await fetch(`${url}/healthz`)).json(), { ok: true, broker: 'connected' });
  const description = (await (await fetch(`${url}/v1/openapi.json`)).json()) as {
    openapi: string;
    paths: Record<string, { post: { requestBody: { content: Record<string, { schema: { required: string[] } }> } } }>;
  };
  assert.is(description.openapi, '3.1.0');
  assert.ok(description.paths['/v1/blobs/{sha256}']);
  const add = description.paths['/v1/commands/models.add']?.post.requestBody.content['application/json']?.schema;
  assert.equal(add?.required, ['name', 'sha256']);
});

test('live results come as server-sent events with the payload in base64', async () => {
  const ended = new AbortController();
  const response = await fetch(`${url}/v1/watch?filter=bytes/%2B`, { signal: ended.signal });
  assert.match(response.headers.get('content-type') ?? '', /^text\/event-stream/);
  const reader = (response.body as ReadableStream<Uint8Array>)
    .pipeThrough(new TextDecoderStream() as never)
    .getReader();
  const client = await connectAsync(controller.mqttUrl, { protocolVersion: 4 });
  let text = '';
  const reading = (async () => {
    while (!text.includes('event: result')) text += (await reader.read()).value;
  })();
  await eventually('an event', async () => {
    await client.publishAsync('bytes/one', Buffer.from([0, 255, 10, 13]));
    return text.includes('event: result');
  });
  await reading;
  const { topic, payload, at } = JSON.parse(/data: (\{.*\})/.exec(text)?.[1] ?? '{}');
  assert.equal([topic, [...Buffer.from(payload, 'base64')]], ['bytes/one', [0, 255, 10, 13]]);
  assert.type(at, 'number');
  ended.abort();
  await client.endAsync();
});

test.run();
