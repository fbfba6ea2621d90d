import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { demoModels } from '../../../examples/fleet-in-a-box/models.ts';
import { type DeviceKind, materialsFolder, readTruth } from '../../../examples/fleet-in-a-box/truth.ts';
import { readJpegHeader } from '../../../runtime/media/jpeg-header.ts';
import { modelsOf } from '../../../runtime/triggers/schema.ts';
import { parseTrigger } from '../../../runtime/triggers/trigger-file.ts';

const truth = readTruth();
const counts: Record<DeviceKind, number> = { 'city-microphone': 7, 'factory-camera': 12, 'vehicle-camera': 13 };

function read(kind: DeviceKind, file: string): Buffer {
  return readFileSync(join(materialsFolder, kind, file));
}

test('the truth names every material and nothing else', () => {
  for (const [kind, count] of Object.entries(counts)) {
    const files = readdirSync(join(materialsFolder, kind)).sort();
    assert.equal(files, Object.keys(truth[kind as DeviceKind]).sort());
    assert.is(files.length, count);
  }
});

test('all materials together stay below 3 MB', () => {
  const files = readdirSync(materialsFolder, { recursive: true, withFileTypes: true }).filter((entry) =>
    entry.isFile(),
  );
  const bytes = files.reduce((sum, entry) => sum + readFileSync(join(entry.parentPath, entry.name)).length, 0);
  assert.is(files.length, 33);
  assert.ok(bytes < 3e6, `${bytes} bytes`);
});

test('pictures are JPEG files of the size that their camera has', () => {
  for (const file of Object.keys(truth['factory-camera'])) {
    const { width, height } = readJpegHeader(read('factory-camera', file));
    assert.equal([width, height], [800, 600], file);
  }
  for (const file of Object.keys(truth['vehicle-camera'])) {
    const { width, height } = readJpegHeader(read('vehicle-camera', file));
    assert.equal([width, height], [960, 540], file);
  }
});

test('recordings are 16 kHz, 16 bit, one channel, and the true speech lies inside them in order', () => {
  let stretches = 0;
  for (const [file, { seconds, speech }] of Object.entries(truth['city-microphone'])) {
    const wav = read('city-microphone', file);
    assert.is(wav.toString('latin1', 0, 4) + wav.toString('latin1', 8, 16), 'RIFFWAVEfmt ', file);
    const format = [wav.readUInt16LE(20), wav.readUInt16LE(22), wav.readUInt32LE(24), wav.readUInt16LE(34)];
    assert.equal(format, [1, 1, 16_000, 16], file);
    assert.is(wav.readUInt32LE(40), seconds * 32_000, file);
    assert.is(wav.length, 44 + seconds * 32_000, file);
    let before = 0;
    for (const { startS, endS } of speech) {
      assert.ok(before < startS && startS + 1 < endS && endS < seconds, `${file}: ${startS} to ${endS} s`);
      before = endS;
      stretches++;
    }
  }
  assert.is(stretches, 10);
});

test('every trigger is valid and names only models of the demonstration, whose files are there', () => {
  const folder = join(materialsFolder, '..', 'triggers');
  const files = readdirSync(folder);
  assert.equal(files.sort(), ['city-speech.yaml', 'factory-labels.yaml', 'vehicle-speed-limit.yaml']);
  const models = demoModels();
  for (const file of files) {
    const trigger = parseTrigger(readFileSync(join(folder, file), 'utf8'), file);
    assert.is(`${trigger.name}.yaml`, file);
    for (const name of modelsOf(trigger))
      assert.ok(
        models.some((model) => model.name === name),
        `${file}: ${name}`,
      );
  }
  for (const { name, file } of models) assert.ok(readFileSync(file).length > 100_000, name);
  assert.is(models.find(({ name }) => name === 'ppocr-rec')?.labels?.length, 6623);
});

test.run();
