/** The front camera of a vehicle: three frames in two seconds. */
import { runCamera } from './camera.ts';

await runCamera({ kind: 'vehicle-camera', device: 'van-7', topic: 'vehicle/van-7/camera', intervalMs: 667 });
