/** What a caller asks for, as the policy takes it. */
import type { RunAccount, RunRequest, TenantSpec } from '../schedule/events.ts';
import { priorityOf, SAFETY } from '../schedule/priorities.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { RunOptions } from './model.ts';

/** The class of runs that say nothing: its place among PRIORITIES. */
export const NORMAL = 2;
/** Runs of one class that may wait or compute; more means that the engine is asked for more than it can do, and waiting longer helps nobody. */
const RUNS_MAX = 4096;
/** Whose runs they are that name nobody. */
export const DEFAULT_TENANT: TenantSpec = { name: 'default', weight: 1, runsMax: RUNS_MAX };
/** From the wish that a core stops until it can begin something else: its present instruction, two messages, and the system's own scheduler. */
export const SWITCH_US = 1000;
/** From the end of a run until its caller has the answer: a message, and what is copied or collected on the thread that serves. */
export const ANSWER_US = 1000;

interface Work {
  readonly model: string;
  readonly program: Pick<LoadedProgram, 'work'> & { readonly sharing: Pick<LoadedProgram['sharing'], 'isWanted'> };
  /** Those of the engine. */
  readonly cores: number;
}

/** Of a run, or of a part of one. */
export interface PartOptions extends RunOptions, Pick<RunRequest, 'part' | 'isContinued'> {
  /** When the whole was submitted, on the engine's clock. */
  readonly sinceMs?: number;
}

export function requestOf(
  { priority = NORMAL, tenant = DEFAULT_TENANT.name, deadlineMs, timeoutMs, sinceMs, isContinued, part }: PartOptions,
  { model, program: { work, sharing }, cores }: Work,
  id: number,
  { nowUs, epochMs }: { readonly nowUs: number; readonly epochMs: () => number },
): RunRequest {
  const leftUs = deadlineMs === undefined ? undefined : (deadlineMs - epochMs()) * 1000;
  const isSafety = priorityOf(priority) === SAFETY;
  return {
    ...{ id, model, tenant, priority },
    workUs: (isSafety ? work.boundUs(nowUs) : undefined) ?? work.meanUs(nowUs),
    isUnknown: work.isUnknown,
    deadlineUs: leftUs === undefined ? undefined : nowUs + leftUs,
    timeoutUs: timeoutMs === undefined ? undefined : timeoutMs * 1000,
    cores: sharing.isWanted ? cores : 1,
    sinceUs: sinceMs === undefined ? undefined : sinceMs * 1000,
    ...{ isContinued, part },
  };
}

/** False when the policy is sure to refuse the run, and says why. */
export function isAdmissible({ priority, deadlineUs, timeoutUs }: RunRequest, nowUs: number): boolean {
  const isInTime = deadlineUs === undefined || deadlineUs > nowUs;
  const hasTime = timeoutUs === undefined || timeoutUs > 0;
  return isInTime && hasTime && priorityOf(priority) !== undefined;
}

/** Of a run that was computed on the calling thread without asking anybody. */
export function accountAtOnce({ sinceUs, isContinued }: RunRequest, fromUs: number, us: number): RunAccount {
  const endedUs = fromUs + us;
  const submittedUs = isContinued ? fromUs : (sinceUs ?? fromUs);
  const slices = [{ fromUs, untilUs: endedUs, cores: [], batch: 1 }];
  return { submittedUs, readyUs: fromUs, endedUs, runUs: us, preemptions: 0, slices };
}

/** What is left of the run's time; next to nothing when it is over, so that what comes next ends it. */
export function timeLeft<Options extends RunOptions>(options: Options, passedMs: number): Options {
  const { timeoutMs } = options;
  if (timeoutMs === undefined || timeoutMs <= 0) return options;
  return { ...options, timeoutMs: Math.max(timeoutMs - passedMs, Number.MIN_VALUE) };
}
