/** A camera above a packing line: one photograph of a label a second. */
import { runCamera } from './camera.ts';

await runCamera({ kind: 'factory-camera', device: 'line-1', topic: 'factory/line-1/camera', intervalMs: 1000 });
