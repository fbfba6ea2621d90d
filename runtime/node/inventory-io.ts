/** What this machine has, for the reported state. */
import { existsSync, readdirSync } from 'node:fs';
import { availableParallelism, totalmem } from 'node:os';
import type { Inventory } from '../protocol/messages.ts';

/** `simd`: the kernel build in use, as the engine names it. */
export function takeInventory(version: string, simd: string): Inventory {
  return {
    version,
    node: process.versions.node,
    platform: process.platform,
    architecture: process.arch,
    cores: availableParallelism(),
    memoryBytes: totalmem(),
    simd,
    gpu: probeGpu(),
  };
}

/** Looks only for what the kernel offers; whether a runtime can use it is settled when a model asks for it. */
function probeGpu(): Inventory['gpu'] {
  const devices = [
    ...(existsSync('/dev/nvidiactl') ? ['NVIDIA (/dev/nvidiactl)'] : []),
    ...(existsSync('/dev/dri') ? readdirSync('/dev/dri').filter((name) => name.startsWith('renderD')) : []),
  ];
  if (devices.length === 0) return { usable: false, detail: 'no GPU device found' };
  return { usable: false, detail: `${devices.join(', ')} found; this version runs models on the CPU` };
}
