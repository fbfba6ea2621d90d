/**
 * The whole way with nothing of ours at its ends: Debian's mosquitto is the broker, `mosquitto_pub` the sensor,
 * `mosquitto_sub` the reader. Models and triggers come through the command line, as in docs/triggers.md.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { demoModels } from '../../examples/fleet-in-a-box/models.ts';
import { materialsFolder, readTruth } from '../../examples/fleet-in-a-box/truth.ts';
import { cleanUp, newFolder, spawnNode } from '../devices/gateway/bench.ts';
import { killProcesses, startProcess, temporary } from '../fleet/fleet-parts.ts';
import {
  freePort,
  llmasos,
  llmasosDone,
  mosquittoPub,
  mosquittoSub,
  startMosquitto,
  whereMosquitto,
} from './processes.ts';

const truth = readTruth();
const triggers = join(import.meta.dirname, '../../examples/fleet-in-a-box/triggers');

whereMosquitto(test)(
  'a recording and photographs go in by mosquitto_pub, right answers come out by mosquitto_sub',
  async () => {
    const broker = await startMosquitto(await freePort());
    const controller = await startProcess(temporary(), ['--broker', broker.url]);
    const { httpUrl } = controller;
    const labels = 'place=everywhere';
    const node = spawnNode({ name: 'edge-1', broker: broker.url, data: newFolder(), labels });
    try {
      for (const model of demoModels()) {
        const characters = join(newFolder(), 'labels.txt');
        writeFileSync(characters, (model.labels ?? []).join('\n'));
        const flags = model.labels ? ['--labels', characters] : [];
        const added = await llmasosDone(httpUrl, 'models', 'add', model.file, '--name', model.name, ...flags);
        assert.match(added, `${model.name} version 1`);
      }
      for (const name of ['city-speech', 'factory-labels', 'vehicle-speed-limit'])
        await llmasosDone(httpUrl, 'triggers', 'add', join(triggers, `${name}.yaml`), '--label', labels);
      for (const filter of ['city/+/audio', 'factory/+/camera', 'vehicle/+/camera']) await node.said(`"${filter}"`);
      const listed = await llmasosDone(httpUrl, 'triggers', 'list');
      for (const name of ['city-speech', 'factory-labels', 'vehicle-speed-limit']) assert.match(listed, name);

      // What really is in each file, from the demonstration's own list of truths.
      const recording = truth['city-microphone']['bus-stop.wav'] as (typeof truth)['city-microphone'][string];
      const speech = await mosquittoSub(broker.port, 'city/+/speech', recording.speech.length);
      await send('city/window/audio', 'city-microphone/bus-stop.wav');
      for (const [index, { topic, json }] of (await speech()).entries()) {
        const { startS, endS } = recording.speech[index] as (typeof recording.speech)[number];
        const { start, end, meta } = json as { start: number; end: number; meta: { node: string } };
        assert.is(topic, 'city/window/speech');
        assert.is(meta.node, 'edge-1');
        const shared = Math.min(end, endS) - Math.max(start, startS);
        assert.ok(
          shared > 0.5 * (Math.max(end, endS) - Math.min(start, startS)),
          `${start}–${end} for ${startS}–${endS}`,
        );
      }

      const read = await mosquittoSub(broker.port, 'factory/desk/labels', 1);
      await send('factory/desk/camera', 'factory-camera/filter.jpg');
      const [label] = await read();
      const bare = (lines: readonly string[]) => lines.map((line) => line.replaceAll(' ', '')).sort();
      assert.equal(bare(label?.json.texts as string[]), bare(truth['factory-camera']['filter.jpg']?.texts ?? []));

      const limits = await mosquittoSub(broker.port, 'vehicle/car/speed-limit', 1);
      await send('vehicle/car/camera', 'vehicle-camera/limit-80-evening.jpg');
      assert.is((await limits())[0]?.json.limit, truth['vehicle-camera']['limit-80-evening.jpg']?.limitKmh);

      const errors = await mosquittoSub(broker.port, 'llmasos/v1/nodes/+/errors/+', 1);
      await mosquittoPub(broker.port, '-t', 'factory/desk/camera', '-m', 'this is no picture');
      const [refusal] = await errors();
      assert.is(refusal?.topic, 'llmasos/v1/nodes/edge-1/errors/factory-labels');
      assert.match(refusal?.json.error as string, /JPEG or PNG/);

      const picture = join(materialsFolder, 'factory-camera/filter.jpg');
      const once = await llmasosDone(httpUrl, 'infer', 'ppocr-det', '--node', 'edge-1', '--image', picture);
      assert.match(once, /ppocr-det on edge-1/);
      const used = await llmasos(httpUrl, 'models', 'remove', 'ppocr-det');
      assert.is(used.code, 1);
      assert.match(used.stderr, /factory-labels/);
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${node.log().slice(-3_000)}`, { cause: error });
    } finally {
      await node.stop('SIGTERM');
      await controller.kill('SIGTERM');
      await broker.stop();
    }

    function send(topic: string, file: string): Promise<void> {
      return mosquittoPub(broker.port, '-t', topic, '-f', join(materialsFolder, file));
    }
  },
);

test.after(() => {
  killProcesses();
  cleanUp();
});
test.run();
