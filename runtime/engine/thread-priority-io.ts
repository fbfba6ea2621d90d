/**
 * Who goes first when there are more threads that could compute than processors. A thread that serves messages is often asleep; where the
 * system gives it the same weight as the threads that compute, it waits for up to 5 ms each time it wakes. A smaller niceness helps as long
 * as it works little: one that has just worked may not go before another one when it wakes soon afterwards, however nice that is, and Linux
 * looks again with its clock's next tick, 4 ms later (EEVDF: such a thread is not eligible; 6.18, all cores computing, silero-vad: a tenth
 * of the messages were heard after 3 ms or more). A thread with a real-time policy goes first at once: a tenth after 0.4 ms or more. It is
 * asleep most of the time, and the system keeps 5% for the others when it is not (sched_rt_runtime_us).
 */
import { readlinkSync } from 'node:fs';
import { getPriority, setPriority } from 'node:os';

const SERVING = -10;
const COMPUTING = 0;
/** What nobody waits for. */
const WAITING = 10;
const COMMAND_MS_MAX = 2000;

/**
 * For the calling thread, when it begins to serve. False where the process lacks the right to it (on Linux CAP_SYS_NICE): then all are alike.
 * Threads and processes that it starts from then on are ordinary ones again where it got the policy.
 */
export function preferThisThread(): boolean {
  try {
    setPriority(SERVING);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  // Node cannot ask for a policy, the system's own tool can (util-linux). Where it is missing or forbidden, the niceness has to do.
  const { spawnSync } = process.getBuiltinModule('node:child_process');
  try {
    const asked = ['--reset-on-fork', '--rr', '--pid', '1', `${thisThread()}`];
    spawnSync('chrt', asked, { stdio: 'ignore', timeout: COMMAND_MS_MAX });
  } catch {
    // Nor without /proc.
  }
  return true;
}

/** For a thread or a process that computes: it does not inherit the preference of the one that started it. */
export function renouncePreference(): void {
  setNiceness((own) => [own]);
}

/** For a thread while nobody waits for what it does; until it renounces that too. Only where it may. */
export function goLast(): void {
  setNiceness((own) => [SERVING, Math.max(own, WAITING)]);
}

/** Linux's number of it. Throws an Error without /proc. */
function thisThread(): number {
  return Number(readlinkSync('/proc/thread-self').split('/').at(-1));
}

/** That of a thread which computes: where the whole process is nicer than usual, it stays so. */
let computing: number | undefined;

/** Of the calling thread, one after the other. */
function setNiceness(values: (own: number) => readonly number[]): void {
  if (process.platform !== 'linux') return;
  try {
    const thread = thisThread();
    computing ??= Math.max(getPriority(thread), COMPUTING);
    for (const niceness of values(computing)) setPriority(thread, niceness);
  } catch {
    // Without /proc all threads keep the priority of the first.
  }
}
