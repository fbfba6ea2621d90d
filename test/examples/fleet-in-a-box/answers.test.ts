/** The demonstration without processes and broker: every material through its trigger, judged by the demonstration's judge. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createJudge, PATIENCE_MS } from '../../../examples/fleet-in-a-box/judge.ts';
import { demoModels } from '../../../examples/fleet-in-a-box/models.ts';
import { encodeNote, sentTopic } from '../../../examples/fleet-in-a-box/sent.ts';
import { type DeviceKind, materialsFolder, readTruth } from '../../../examples/fleet-in-a-box/truth.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import { loadModel } from '../../../runtime/offload/load.ts';
import { createPipeline, type Pipeline } from '../../../runtime/triggers/pipeline.ts';
import type { LoadedModel } from '../../../runtime/triggers/stage.ts';
import { parseTrigger } from '../../../runtime/triggers/trigger-file.ts';

const engine = await createEngine();
const models = new Map<string, LoadedModel>();
for (const { name, file, labels } of demoModels())
  models.set(name, { model: await loadModel(engine, readFileSync(file), { name }), version: 1, labels });

const truth = readTruth();

function pipelineOf(trigger: string): Pipeline {
  const file = join(materialsFolder, '..', 'triggers', `${trigger}.yaml`);
  // Messages are sent as if their devices spoke long ago: all of them would be late.
  const parsed = { ...parseTrigger(readFileSync(file, 'utf8'), file), deadlineMs: undefined };
  return createPipeline(parsed, {
    node: 'here',
    models: (name) => models.get(name) as LoadedModel,
  });
}

/** Sends every file of a device through the trigger, `messagesOf` a file at `intervalMs`; gives the judge's score. */
async function judged(
  kind: DeviceKind,
  trigger: string,
  topic: string,
  intervalMs: number,
  messagesOf: (bytes: Buffer) => Buffer[],
) {
  const judge = createJudge(truth);
  const pipeline = pipelineOf(trigger);
  const device = topic.split('/')[1] as string;
  let now = 1_000_000;
  for (const file of Object.keys(truth[kind])) {
    judge.message(sentTopic(device), new TextEncoder().encode(encodeNote({ kind, file, at: now })));
    for (const payload of messagesOf(readFileSync(join(materialsFolder, kind, file)))) {
      now += intervalMs;
      const { results } = await pipeline.handle({ topic, payload, receivedAt: now });
      for (const result of results) judge.message(result.topic, result.payload);
    }
  }
  const score = judge.scores(now + PATIENCE_MS + 10_000).find((candidate) => candidate.trigger === trigger);
  const { right, wrong, missed, quiet, lastMistake } = score as NonNullable<typeof score>;
  console.log(
    `${trigger}: ${right} right, ${wrong} wrong, ${missed} missed, ${quiet} rightly quiet; ${lastMistake ?? 'no mistake'}`,
  );
  return { right, wrong, missed, quiet };
}

const whole = (bytes: Buffer) => [bytes];
const chunks = (wav: Buffer) =>
  Array.from({ length: (wav.length - 44) / 3200 }, (_, i) => wav.subarray(44 + 3200 * i, 44 + 3200 * (i + 1)));

test('all speed limits are read, and nothing is taken for one', async () => {
  const score = await judged('vehicle-camera', 'vehicle-speed-limit', 'vehicle/van-7/camera', 667, whole);
  assert.equal(score, { right: 9, wrong: 0, missed: 0, quiet: 4 });
});

test('at least nine labels in ten are read without a mistake, upside down or not', async () => {
  const { right, wrong, missed } = await judged(
    'factory-camera',
    'factory-labels',
    'factory/line-1/camera',
    1000,
    whole,
  );
  assert.is(right + wrong + missed, 12);
  assert.ok(right >= 11, `${right} of 12`);
});

test('all speech is found where it is, and traffic and horns are not taken for speech', async () => {
  const score = await judged('city-microphone', 'city-speech', 'city/market-square/audio', 100, chunks);
  assert.equal(score, { right: 10, wrong: 0, missed: 0, quiet: 2 });
});

test('a whole recording as one WAV message gives the same stretches of speech as its samples in chunks', async () => {
  const wav = readFileSync(join(materialsFolder, 'city-microphone', 'bus-stop.wav'));
  const heard = async (payloads: Buffer[]) => {
    const pipeline = pipelineOf('city-speech');
    const found: unknown[] = [];
    for (const payload of payloads) {
      const { results } = await pipeline.handle({ topic: 'city/my-window/audio', payload, receivedAt: 0 });
      for (const result of results) {
        const { start, end } = JSON.parse(new TextDecoder().decode(result.payload));
        found.push([start, end]);
      }
    }
    return found;
  };
  const once = await heard([wav]);
  assert.is(once.length, 2);
  assert.equal(once, await heard(chunks(wav)));
});

test('the models are given back', async () => {
  for (const { model } of models.values()) await model.close();
  await engine.close();
  assert.is(models.size, 4);
});

test.run();
