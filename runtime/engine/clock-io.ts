/** What time it is, for whoever serves runs. */
import { nowMs } from './core-messages.ts';

export interface Clock {
  /** Milliseconds of the clock that all threads share: see nowMs. */
  nowMs(): number;
  /** Milliseconds since the epoch. May jump when the machine's clock is set. */
  epochMs(): number;
  /** Calls `act` after so many milliseconds, unless the function that it returns is called before. Keeps no process alive. */
  after(ms: number, act: () => void): () => void;
}

export const machineClock: Clock = {
  nowMs,
  epochMs: () => Date.now(),
  after(ms, act) {
    const timer = setTimeout(act, ms).unref();
    return () => clearTimeout(timer);
  },
};
