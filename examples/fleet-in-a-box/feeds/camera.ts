/** A camera that sends its pictures, JPEG as they are, at an even rate, in a new order each round. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { seededRandom } from '../random.ts';
import { type DeviceKind, materialsFolder, readTruth } from '../truth.ts';
import { runDevice } from './device.ts';

export interface Camera {
  readonly kind: Extract<DeviceKind, `${string}-camera`>;
  readonly device: string;
  readonly topic: string;
  readonly intervalMs: number;
}

export function runCamera({ kind, device, topic, intervalMs }: Camera): Promise<void> {
  const pictures = Object.keys(readTruth()[kind]).map((file) => ({
    file,
    jpeg: readFileSync(join(materialsFolder, kind, file)),
  }));
  return runDevice(kind, async (camera, seed) => {
    const random = seededRandom(seed);
    let due = performance.now();
    for (;;) {
      for (const { file, jpeg } of random.shuffle(pictures)) {
        await camera.until(due);
        await camera.connected();
        camera.note(device, { kind, file, at: Date.now() });
        camera.publish(topic, jpeg);
        // A machine that slept does not send what it missed.
        due = Math.max(due + intervalMs, performance.now());
      }
    }
  });
}
