/** Simulated fleets on several threads: each takes the next seed when it has done one. */
import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { SimulationOptions, SimulationResult } from './simulation.ts';

/** Resolves when all have been lived; `onEnd` is told of each, in the order in which they end. */
export async function simulateAll(
  seeds: Iterable<number>,
  options: Omit<SimulationOptions, 'seed' | 'trace'>,
  threads: number,
  onEnd: (seed: number, result: SimulationResult) => void,
): Promise<void> {
  const left = seeds[Symbol.iterator]();
  const work = async (): Promise<void> => {
    const worker = new Worker(new URL('./seed-worker.ts', import.meta.url));
    const broken = once(worker, 'error').then(([error]) => Promise.reject(error));
    try {
      for (let next = left.next(); !next.done; next = left.next()) {
        worker.postMessage({ ...options, seed: next.value });
        const [result] = await Promise.race([once(worker, 'message'), broken]);
        onEnd(next.value, result);
      }
    } finally {
      await worker.terminate();
    }
  };
  await Promise.all(Array.from({ length: threads }, work));
}
