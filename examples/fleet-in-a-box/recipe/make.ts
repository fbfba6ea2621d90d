/** Makes every material of the demonstration and the truth about it, from seeds: `node recipe/make.ts`. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Truth } from '../truth.ts';
import { photograph, type Shot } from './camera.ts';
import { drawPage, encodeJpeg } from './chromium.ts';
import { LABEL_HEIGHT, LABEL_WIDTH, labelPage, labelScenes } from './labels.ts';
import { ROAD_HEIGHT, ROAD_WIDTH } from './road.ts';
import { roadPage, roadScenes } from './signs.ts';
import { makeRecording, recordings } from './sounds.ts';
import { SAMPLE_RATE } from './street.ts';

const materials = join(import.meta.dirname, '..', 'materials');
const truth: Truth = { 'city-microphone': {}, 'factory-camera': {}, 'vehicle-camera': {} };

function save(device: keyof Truth, file: string, bytes: Uint8Array): void {
  writeFileSync(join(materials, device, file), bytes);
  console.log(`${device}/${file}  ${bytes.length} bytes`);
}

function takePicture(page: string, width: number, height: number, shot: Shot): Buffer {
  return encodeJpeg(photograph(drawPage(page, width, height), shot), 80);
}

/** RIFF/WAVE with one 16-bit PCM channel (Microsoft, Multimedia Programming Interface, 1991). */
function wavFile(samples: Int16Array): Buffer {
  const header = Buffer.alloc(44);
  const dataBytes = samples.length * 2;
  header.write('RIFF', 0);
  header.writeUInt32LE(36 + dataBytes, 4);
  header.write('WAVEfmt ', 8);
  header.writeUInt32LE(16, 16);
  header.writeUInt16LE(1, 20);
  header.writeUInt16LE(1, 22);
  header.writeUInt32LE(SAMPLE_RATE, 24);
  header.writeUInt32LE(SAMPLE_RATE * 2, 28);
  header.writeUInt16LE(2, 32);
  header.writeUInt16LE(16, 34);
  header.write('data', 36);
  header.writeUInt32LE(dataBytes, 40);
  const data = Buffer.alloc(dataBytes);
  samples.forEach((sample, index) => {
    data.writeInt16LE(sample, index * 2);
  });
  return Buffer.concat([header, data]);
}

for (const device of Object.keys(truth)) {
  rmSync(join(materials, device), { recursive: true, force: true });
  mkdirSync(join(materials, device), { recursive: true });
}
recordings.forEach((recording, index) => {
  const { samples, speech } = makeRecording(recording, index + 1);
  save('city-microphone', `${recording.name}.wav`, wavFile(samples));
  truth['city-microphone'][`${recording.name}.wav`] = { seconds: recording.seconds, speech };
});
for (const scene of labelScenes) {
  save('factory-camera', `${scene.name}.jpg`, takePicture(labelPage(scene), LABEL_WIDTH, LABEL_HEIGHT, scene.shot));
  truth['factory-camera'][`${scene.name}.jpg`] = { texts: [...scene.lines] };
}
for (const scene of roadScenes) {
  save('vehicle-camera', `${scene.name}.jpg`, takePicture(roadPage(scene), ROAD_WIDTH, ROAD_HEIGHT, scene.shot));
  truth['vehicle-camera'][`${scene.name}.jpg`] = { limitKmh: scene.sign?.kind === 'limit' ? scene.sign.kmh : null };
}
writeFileSync(join(materials, 'truth.json'), `${JSON.stringify(truth, null, 2)}\n`);
