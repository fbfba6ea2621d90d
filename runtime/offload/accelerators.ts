/** What this machine has besides its cores. */
import type { Accelerator } from '../engine/accelerator.ts';
import { loadOnnxruntime } from './onnxruntime.ts';
import type { GpuProbe } from './probe.ts';

/** None where the probe found none that is worth using. */
export function acceleratorsOf({ usable }: GpuProbe, tell: Accelerator['tell']): readonly Accelerator[] {
  if (!usable) return [];
  return [
    {
      name: 'gpu',
      load: (file, options) =>
        loadOnnxruntime(file, { ...options, provider: 'webgpu', reason: 'it may run on the GPU' }),
      tell,
    },
  ];
}
