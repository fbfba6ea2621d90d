/** The documentation's triggers with the models they were written for, run by onnxruntime. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { decodeImage, turnUpright } from '../../../runtime/media/image.ts';
import { decodeWav } from '../../../runtime/media/wav.ts';
import { createPipeline, type Outcome, type Pipeline } from '../../../runtime/triggers/pipeline.ts';
import type { Trigger } from '../../../runtime/triggers/schema.ts';
import type { LoadedModel } from '../../../runtime/triggers/stage.ts';
import { parseTrigger } from '../../../runtime/triggers/trigger-file.ts';
import { randomFrom } from '../../random.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';
import { encodePng } from '../media/write-png.ts';
import { oracleModel } from './oracle-model.ts';

const documentation = readFileSync(new URL('../../../docs/triggers.md', import.meta.url), 'utf8');
const models = new Map<string, LoadedModel>();
for (const name of ['silero-vad', 'ppocr-detection', 'ppocr-angle', 'ppocr-recognition'])
  models.set(name, await oracleModel(name));

function documented(name: string): string {
  return [...documentation.matchAll(/```yaml\n(name: .*?)```/gs)]
    .map((match) => match[1] as string)
    .find((text) => text.startsWith(`name: ${name}`)) as string;
}

function pipelineOf(trigger: Trigger): Pipeline {
  return createPipeline(trigger, { node: 'n', models: (name) => models.get(name) as LoadedModel });
}

const speech = documented('city-speech');
const labels = pipelineOf(parseTrigger(documented('factory-labels'), 'docs'));

function bodies({ results }: Outcome): Record<string, unknown>[] {
  return results.map(({ payload }) => JSON.parse(new TextDecoder().decode(payload)));
}

/** Probabilities window by window as the model's authors compute them: 64 samples before, the state carried along. */
async function referenceProbabilities(samples: Int16Array): Promise<number[]> {
  const { model } = models.get('silero-vad') as LoadedModel;
  const padded = Float32Array.from([...new Int16Array(64), ...samples], (sample) => sample / 32768);
  const sr: Tensor = { type: 'int64', dims: [], data: BigInt64Array.of(16000n) };
  let state: Tensor = { type: 'float32', dims: [2, 1, 128], data: new Float32Array(256) };
  const probabilities: number[] = [];
  for (let at = 0; at + 512 <= samples.length; at += 512) {
    const input: Tensor = { type: 'float32', dims: [1, 576], data: padded.slice(at, at + 576) };
    const { outputs } = await model.run({ input, state, sr });
    state = outputs.stateN as Tensor;
    probabilities.push((outputs.output as Tensor).data[0] as number);
  }
  return probabilities;
}

test('a stateful detector gives the same probabilities however its streams are cut and interleaved', async () => {
  const seed = 5;
  const random = randomFrom(seed);
  const text = speech
    .replace('post: { step: speech-segments, threshold: 0.5 }', 'post: { step: raw }')
    .replace(
      /when:.*?priority/s,
      'output: { topic: "city/{device}/p", fields: { p: "speech.output.data[0]" } }\npriority',
    );
  const pipeline = pipelineOf(parseTrigger(text, 'probabilities'));
  // A buzz with a gliding pitch, loud and soft in turns: the detector's state changes all the time.
  const streams = [90, 130, 170].map((pitch) =>
    Int16Array.from({ length: 16000 }, (_, i) => {
      const glide = Math.sin((2 * Math.PI * i * (pitch + i / 400)) / 16000);
      return Math.round(Math.sign(glide) * 6000 * (1 + Math.sin(i / 900)) + random(600));
    }),
  );
  const positions = [0, 0, 0];
  const found: number[][] = [[], [], []];
  while (positions.some((at, i) => at < (streams[i] as Int16Array).length)) {
    const i = random(3);
    const at = positions[i] as number;
    const chunk = (streams[i] as Int16Array).slice(at, at + random(1500) + 1);
    if (chunk.length === 0) continue;
    positions[i] = at + chunk.length;
    const outcome = await pipeline.handle({
      topic: `city/mic${i}/audio`,
      payload: new Uint8Array(chunk.buffer),
      receivedAt: at,
    });
    for (const { p } of bodies(outcome)) found[i]?.push(p as number);
  }
  for (const [i, samples] of streams.entries()) {
    const expected = await referenceProbabilities(samples);
    assert.is(found[i]?.length, 31, `seed ${seed}`);
    for (const [k, p] of expected.entries())
      assert.ok(Math.abs(p - (found[i]?.[k] as number)) < 1e-6, `stream ${i}, window ${k}`);
    assert.ok(Math.max(...expected) - Math.min(...expected) > 0.001, 'the signal moves the detector');
  }
});

const shared = testWhere(test, needsSharedData.met, needsSharedData.needs);

async function segmentsOf(file: string): Promise<{ start: number; end: number }[]> {
  const pipeline = pipelineOf(parseTrigger(speech, 'docs'));
  const { rate, samples: sound } = decodeWav(readFileSync(`${sharedData}datasets/audio/${file}`));
  assert.is(rate, 16000);
  // In the small pieces that a microphone sends, then a second of silence.
  const samples = [...Int16Array.from(sound, (sample) => sample * 32767), ...new Int16Array(16000)];
  const found: { start: number; end: number }[] = [];
  for (let at = 0; at < samples.length; at += 800) {
    const payload = new Uint8Array(Int16Array.from(samples.slice(at, at + 800)).buffer);
    const outcome = await pipeline.handle({ topic: 'city/m/audio', payload, receivedAt: at / 16 });
    found.push(...(bodies(outcome) as { start: number; end: number }[]));
  }
  return found;
}

shared('speech is found in recordings of speech, and in nothing else', async () => {
  const reading = await segmentsOf('librivox_0870.wav');
  const spoken = reading.reduce((sum, { start, end }) => sum + end - start, 0);
  assert.ok(spoken > 5 && spoken < 7.2, `${spoken} s of 7.1 s`);
  const commands = await segmentsOf('short_wav_easy10s.wav');
  assert.ok(commands.length >= 4, `${commands.length} commands`);
  assert.is((await segmentsOf('yes_1000ms.wav')).length, 1);
  assert.equal(await segmentsOf('silence_1000ms.wav'), []);
  assert.equal(await segmentsOf('noise_1000ms.wav'), []);
});

const page = `${sharedData}datasets/images/ocr_page.png`;

async function linesOf(payload: Uint8Array): Promise<unknown> {
  return bodies(await labels.handle({ topic: 'factory/7/camera', payload, receivedAt: 1 }))[0]?.texts;
}

shared('a page is read by three models in a chain, upside down as well', async () => {
  const upright = readFileSync(page);
  const outcome = await labels.handle({ topic: 'factory/7/camera', payload: upright, receivedAt: 1 });
  assert.equal(bodies(outcome)[0]?.texts, ['GATEWAY 42 OFFLINE', 'Serial No: AX-7731']);
  const [result] = outcome.results;
  assert.is(result?.topic, 'factory/7/labels');
  assert.is(result?.summary, 'read GATEWAY 42 OFFLINE, Serial No: AX-7731');
  const turned = encodePng(turnUpright(await decodeImage(upright), 3));
  // How wide a gap counts as a space depends on the last pixel.
  const texts = (await linesOf(turned)) as string[];
  assert.equal(
    texts.map((text) => text.replaceAll(' ', '')),
    ['SerialNo:AX-7731', 'GATEWAY42OFFLINE'],
  );
});

shared('a picture that is cut short is refused, and the next one is read', async () => {
  const whole = readFileSync(page);
  let message = '';
  await labels
    .handle({ topic: 'factory/7/camera', payload: whole.subarray(0, whole.length / 2), receivedAt: 1 })
    .catch((error: Error) => {
      message = error.message;
    });
  assert.match(message, /^image: expected a whole PNG/);
  assert.equal(await linesOf(whole), ['GATEWAY 42 OFFLINE', 'Serial No: AX-7731']);
});

shared('text that is no speed limit gives no message', async () => {
  const pipeline = pipelineOf(parseTrigger(documented('vehicle-speed-limit'), 'docs'));
  const outcome = await pipeline.handle({ topic: 'vehicle/1/camera', payload: readFileSync(page), receivedAt: 1 });
  assert.equal(outcome.results, []);
  assert.is(outcome.dropped, undefined);
});

test.run();
