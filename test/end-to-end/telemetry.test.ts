/** Metrics and traces as their readers get them: a collector that speaks OTLP, and the exposition format as Prometheus documents it. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../fleet/api/client.ts';
import { taskSpecSchema } from '../../fleet/tasks/task.ts';
import { cleanUp, connectClient, localFiles, newFolder, spawnNode } from '../devices/gateway/bench.ts';
import { chunks, eventually, hashOf, killProcesses, startProcess, temporary } from '../fleet/fleet-parts.ts';

interface Span {
  readonly traceId: string;
  readonly spanId: string;
  readonly parentSpanId?: string;
  readonly name: string;
}

/** What came to POST /v1/traces (OTLP/HTTP in JSON: opentelemetry.io/docs/specs/otlp). */
const spans: Span[] = [];
const collector = createServer((request, response) => {
  const parts: Buffer[] = [];
  request.on('data', (part: Buffer) => parts.push(part));
  request.on('end', () => {
    response.writeHead(200, { 'content-type': 'application/json' }).end('{}');
    if (request.url !== '/v1/traces') return;
    for (const resource of JSON.parse(Buffer.concat(parts).toString()).resourceSpans)
      for (const scope of resource.scopeSpans) spans.push(...scope.spans);
  });
});
await new Promise<void>((resolve) => collector.listen(0, '127.0.0.1', resolve));
// The processes that are started inherit it.
process.env.OTEL_EXPORTER_OTLP_ENDPOINT = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;

test.after(() => {
  cleanUp();
  killProcesses();
  collector.close();
});

/** Samples by name; throws at a line that the format does not know (prometheus.io/docs/instrumenting/exposition_formats). */
function parseExposition(text: string): Map<string, { labels: string; value: number }[]> {
  const samples = new Map<string, { labels: string; value: number }[]>();
  const types = new Map<string, string>();
  for (const line of text.split('\n').filter((one) => one !== '')) {
    const type = /^# TYPE ([a-zA-Z_:][\w:]*) (counter|gauge|histogram|summary|untyped)$/.exec(line);
    if (type) types.set(type[1] as string, type[2] as string);
    if (line.startsWith('#')) continue;
    const sample =
      /^([a-zA-Z_:][\w:]*)(\{(?:[a-zA-Z_]\w*="(?:[^"\\\n]|\\["\\n])*",?)*\})? (-?[\d.e+-]+|[+-]Inf|NaN)$/.exec(line);
    if (!sample) throw new Error(`no line of the exposition format: ${line}`);
    const [, name = '', labels = '', value] = sample;
    const family = types.has(name) ? name : name.replace(/_(bucket|sum|count)$/, '');
    assert.ok(types.has(family), `${name} has no TYPE`);
    samples.set(name, [...(samples.get(name) ?? []), { labels, value: Number(value) }]);
  }
  return samples;
}

const scrape = async (url: string) => {
  const response = await fetch(url);
  assert.match(response.headers.get('content-type') ?? '', /^text\/plain; version=0\.0\.4/);
  return parseExposition(await response.text());
};

test('a message, a request and a task are each one trace over both processes, and all is counted', async () => {
  const controller = await startProcess(temporary());
  const service = new ControllerClient(controller.httpUrl);
  const { models, triggers } = localFiles();
  const node = spawnNode({ name: 'n1', broker: controller.mqttUrl, data: newFolder(), models, triggers, metrics: '0' });
  await node.said('"answering messages"');
  const client = await connectClient(controller.mqttUrl, ['answers/+']);
  const [traceId, parent] = ['0af7651916cd43dd8448eb211c80319c', 'b7ad6b7169203331'];
  await client.send('sensors/a/values', { id: 1, v: [1, 2, 3], traceparent: `00-${traceId}-${parent}-01` });
  const answer = await client.wait('the answer', ({ json }) => json?.id === 1);
  assert.match(answer.json.meta.traceparent, new RegExp(`^00-${traceId}-[0-9a-f]{16}-01$`));
  await client.send('sensors/a/values', { id: 2, v: 'nothing', traceparent: 'nonsense' });

  // The model's name is the node's own; a task asks for one that the controller knows.
  const file = readFileSync(join(models, 'double.onnx'));
  await service.putBlob(hashOf(file), chunks(file));
  await service.addModel('double', hashOf(file));
  await eventually('the model is ready', async () =>
    (await service.nodes()).some(({ reported }) =>
      reported?.models.some(({ name, state }) => name === 'double' && state === 'ready'),
    ),
  );
  const input = { base64: Buffer.from('{"id":3,"v":[1,2,3]}').toString('base64') };
  await service.infer('n1', { model: 'double', format: 'json', input }, 10_000);
  const work = { kind: 'inference', model: 'double', format: 'json', inputs: [input] };
  const task = await service.tasks.add(taskSpecSchema.parse({ id: 'traced', work }));
  await eventually('the task ends', async () => (await service.tasks.show(task.id, false)).state !== 'active');

  const port = Number(/"metricsPort":(\d+)/.exec(node.log())?.[1]);
  const ofNode = await scrape(`http://127.0.0.1:${port}/metrics`);
  const ofController = await eventually('the node has told its counters', async () => {
    const samples = await scrape(`${controller.httpUrl}/metrics`);
    return samples.get('llmasos_trigger_messages_total')?.some(({ value }) => value === 2) ? samples : undefined;
  });
  for (const samples of [ofNode, ofController]) {
    assert.equal(samples.get('llmasos_trigger_messages_total'), [{ labels: '{trigger="largest"}', value: 2 }]);
    assert.equal(samples.get('llmasos_trigger_failures_total'), [{ labels: '{trigger="largest"}', value: 1 }]);
  }
  for (const name of ['duration', 'wait'])
    assert.equal(ofNode.get(`llmasos_message_${name}_seconds_count`), [{ labels: '{trigger="largest"}', value: 1 }]);
  assert.equal(ofNode.get('llmasos_run_preemptions_total'), [{ labels: '{trigger="largest"}', value: 0 }]);
  assert.ok(
    ofController.get('llmasos_nodes')?.some(({ labels, value }) => labels === '{state="online"}' && value === 1),
  );
  assert.is((await fetch(`http://127.0.0.1:${port}/else`)).status, 404);

  // What the dashboard shows is there.
  const dashboard = readFileSync(join(import.meta.dirname, '../../docs/grafana/llmasos.json'), 'utf8');
  const shown = new Set(dashboard.match(/llmasos_\w+/g));
  assert.ok(shown.size > 15, `the dashboard shows only ${shown.size}`);
  for (const name of shown) assert.ok(ofNode.has(name) || ofController.has(name), `nobody gives ${name}`);

  // Both send what they have when they end.
  assert.is(await node.stop('SIGTERM'), 0);
  assert.is(await controller.kill('SIGTERM'), 0);
  const named = (name: string): Span[] => spans.filter((span) => span.name === name);
  const message = named('message largest').find((span) => span.traceId === traceId);
  assert.is(message?.parentSpanId, parent);
  for (const name of ['wait', 'answer', 'publish'])
    assert.is(named(name).find((span) => span.traceId === traceId)?.parentSpanId, message?.spanId, name);
  const [asking, answering] = named('infer double').sort((a, b) => Number(!!a.parentSpanId) - Number(!!b.parentSpanId));
  assert.is(answering?.parentSpanId, asking?.spanId);
  assert.is(answering?.traceId, asking?.traceId);
  const [whole] = named('task inference');
  const [unit] = named('unit traced.0');
  assert.is(unit?.parentSpanId, whole?.spanId);
  assert.is(unit?.traceId, whole?.traceId);
});

test('an address that cannot work is one sentence', async () => {
  const node = spawnNode({ name: 'n1', broker: 'mqtt://127.0.0.1:1', data: newFolder(), metrics: 'somewhere' });
  await node.said('--metrics: expected PORT or ADDRESS:PORT, such as 9464 or 0.0.0.0:9464, got "somewhere"');
});

test.run();
