/** The bundle that a gateway runs, in a folder without node_modules; and the latency bench in a tiny size, so that it cannot rot. */
import { execFile } from 'node:child_process';
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { connectAsync } from 'mqtt';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createProcesses } from '../../bench/processes.ts';
import { writeModel } from '../../bench/write-model.ts';

const file = (path: string): string => fileURLToPath(new URL(`../../${path}`, import.meta.url));
const run = promisify(execFile);
const processes = createProcesses();
const bundle = processes.folder();
const main = join(bundle, 'main.js');
let broker = '';

const picture = (model: string) => ({
  name: model,
  topic: 'camera/{device}',
  decode: { format: 'image' },
  stages: [{ name: 'seen', model, inputs: { x: { image: { fit: 'stretch' } } }, post: { step: 'raw' } }],
  output: { topic: `seen/${model}`, fields: { numbers: 'seen.y.data' } },
});

/** Folders with a model of one operator on a picture of 8 × 8, and the trigger that asks it. */
function localFiles(operator: string, dims: readonly number[]): { models: string; triggers: string } {
  const folder = processes.folder();
  const [models, triggers] = [join(folder, 'models'), join(folder, 'triggers')];
  for (const made of [models, triggers]) mkdirSync(made);
  const graph = {
    inputs: [{ name: 'x', type: 1, dims: [1, 3, 8, 8] }],
    outputs: [{ name: 'y', type: 1, dims }],
    nodes: [{ operator, inputs: ['x'], outputs: ['y'] }],
  };
  writeFileSync(join(models, 'picture.onnx'), writeModel({ graph }));
  writeFileSync(join(triggers, 'picture.json'), JSON.stringify(picture('picture')));
  return { models, triggers };
}

test.before(async () => {
  await run(process.execPath, [file('scripts/build.mjs'), bundle]);
  const { message } = await processes.start('broker.ts', []);
  broker = (message as { url: string }).url;
});
test.after(() => processes.stopAll());

test('the bundle answers pictures with a model, though no package is installed beside it', async () => {
  await processes.startNode(main, { name: 'pictures', broker, ...localFiles('GlobalAveragePool', [1, 3, 1, 1]) });
  const client = await connectAsync(broker, { protocolVersion: 4 });
  const answer = new Promise<Buffer>((resolve) => client.on('message', (_, payload) => resolve(payload)));
  await client.subscribeAsync('seen/picture');
  const jpeg = readFileSync(file('examples/fleet-in-a-box/materials/factory-camera/bearing.jpg'));
  client.publish('camera/one', jpeg);
  const { numbers, meta } = JSON.parse((await answer).toString());
  await client.endAsync();
  assert.is(numbers.length, 3);
  for (const mean of numbers) assert.ok(mean > 0.02 && mean < 0.98, `a colour's mean is ${mean}`);
  assert.is(meta.models[0].engine, 'llmasos');
});

test('the bundle says which package is missing where a model needs the fallback', async () => {
  const error = await processes
    .startNode(main, { name: 'fallback', broker, ...localFiles('OfTomorrow', [1, 3, 8, 8]) })
    .then(() => 'it started', String);
  assert.match(error, /onnxruntime-web is missing: install it/);
});

test('the bundle stays small, and has its kernels with it', () => {
  for (const name of ['plain', 'relaxed']) assert.ok(statSync(join(bundle, `kernels/kernels-${name}.wasm`)).size > 0);
  assert.ok(statSync(main).size < 1e6);
});

test('the latency bench runs on the bundle at both qualities of service and misses no answer', async () => {
  const flags = ['--count', '50', '--rate', '100', '--warm-up', '10', '--main', main, '--json'];
  const { stdout } = await run(process.execPath, [file('bench/latency.ts'), ...flags]);
  const report = JSON.parse(stdout.trim().split('\n').at(-1) as string);
  assert.equal(
    report.reports.map(({ qos, messages, missing }: Record<string, number>) => [qos, messages, missing]),
    [
      [0, 50, 0],
      [1, 50, 0],
    ],
  );
  const [first, second] = report.reports;
  assert.is(first.answers, second.answers);
  assert.ok(first.figures['message to result'].p50 > 0);
});

test.run();
