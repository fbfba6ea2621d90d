/** Two microphones on one street: 16 kHz, 16 bit, in chunks of 100 ms, as the sound happens. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '../random.ts';
import { materialsFolder, readTruth } from '../truth.ts';
import { type Device, runDevice } from './device.ts';

const KIND = 'city-microphone';
const STATIONS = ['market-square', 'harbour-street'];
const CHUNK_MS = 100;
const CHUNK_BYTES = (16_000 / 1000) * CHUNK_MS * 2;
/** What recipe/make.ts writes before the samples. */
const WAV_HEADER_BYTES = 44;

const recordings = Object.keys(readTruth()[KIND]).map((file) => ({
  file,
  samples: readFileSync(join(materialsFolder, KIND, file)).subarray(WAV_HEADER_BYTES),
}));

async function listen(microphone: Device, station: string, seed: number): Promise<never> {
  const random = seededRandom(seed);
  await microphone.connected();
  let due = performance.now();
  for (;;) {
    for (const { file, samples } of random.shuffle(recordings)) {
      await microphone.connected();
      // While the broker was away, or the machine asleep, nobody listened.
      if (performance.now() - due > 1000) due = performance.now();
      microphone.note(station, { kind: KIND, file, at: Date.now() + due - performance.now() });
      for (let at = 0; at < samples.length; at += CHUNK_BYTES) {
        // A chunk can be sent only when its last sample has been heard.
        due += CHUNK_MS;
        await microphone.until(due);
        microphone.publish(`city/${station}/audio`, samples.subarray(at, at + CHUNK_BYTES));
      }
    }
  }
}

await runDevice(KIND, (microphone, seed) =>
  Promise.race(STATIONS.map((station, index) => listen(microphone, station, seed + index))),
);
