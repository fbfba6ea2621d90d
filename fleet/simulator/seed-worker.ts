/** A thread of main.ts (threads-io.ts): lives one fleet after the other, as it is told. */
import { parentPort } from 'node:worker_threads';
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.ts';

parentPort?.on('message', (options: SimulationOptions) => parentPort?.postMessage(live(options)));

/** What throws breaks a law too, and the other seeds are to be seen all the same. */
function live(options: SimulationOptions): SimulationResult {
  try {
    return simulate(options);
  } catch (error) {
    const text = error instanceof Error ? error.stack : String(error);
    return {
      violations: [`the simulation threw ${text}`],
      crashes: new Map(),
      tasks: {},
      rollouts: {},
      trials: { proved: 0, givenUp: 0 },
      steps: 0,
    };
  }
}
