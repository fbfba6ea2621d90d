/**
 * Who goes first when there are more threads that could compute than processors. A thread that serves messages is often asleep; where the
 * system gives it the same weight as the threads that compute, it waits for up to 5 ms each time it wakes (Linux 6.18, 2 cores busy: 90% of
 * the wake-ups within 2.3 ms; with this difference within 0.3 ms).
 */
import { readlinkSync } from 'node:fs';
import { setPriority } from 'node:os';

const SERVING = -10;
const COMPUTING = 0;

/** For the main thread. False where the process lacks the right to it (on Linux CAP_SYS_NICE): then all are alike. */
export function preferThisThread(): boolean {
  try {
    setPriority(SERVING);
    return true;
  } catch {
    return false;
  }
}

/** For a thread or a process that computes: it does not inherit the preference of the one that started it. */
export function renouncePreference(): void {
  if (process.platform !== 'linux') return;
  try {
    setPriority(Number(readlinkSync('/proc/thread-self').split('/').at(-1)), COMPUTING);
  } catch {
    // Without /proc all threads keep the priority of the first.
  }
}
