/**
 * Which version of the node's program the launcher starts, as plain functions over what it keeps on the disk. A version on trial that
 * has not proved itself after so many starts is rejected, and the good one starts again; so a version that ends at once, and a power
 * cut at any moment, lead back to what worked.
 */
import * as z from 'zod';

/** As Greengrass's nucleus has it: the third unexpected end goes back. */
export const STARTS_MAX = 3;

/** Null: the program that lies beside the launcher. */
const program = z
  .string()
  .regex(/^[0-9a-f]{64}$/)
  .nullable();

const launchStateSchema = z.object({
  good: program,
  trial: z.object({ program, starts: z.int().nonnegative() }).nullable(),
  rejected: z.object({ program, error: z.string() }).nullable(),
});

export type LaunchState = z.infer<typeof launchStateSchema>;

export const FIRST: LaunchState = { good: null, trial: null, rejected: null };

/** Throws an Error when it is none. */
export function readLaunchState(text: string): LaunchState {
  return launchStateSchema.parse(JSON.parse(text));
}

export function chosen(state: LaunchState): string | null {
  return state.trial ? state.trial.program : state.good;
}

/** The node has installed the program and asks for it. */
export function tried(state: LaunchState, wanted: string | null): LaunchState {
  return wanted === state.good ? state : { ...state, trial: { program: wanted, starts: 0 }, rejected: null };
}

/** Is written before the program is started, which may take the machine down. */
export function starting(state: LaunchState): LaunchState {
  const { trial } = state;
  if (!trial) return state;
  if (trial.starts >= STARTS_MAX)
    return rejected(state, `ended or was cut short each of the ${STARTS_MAX} times that it was started`);
  return { ...state, trial: { ...trial, starts: trial.starts + 1 } };
}

/** The program on trial has ended without having proved itself. */
export function ended(state: LaunchState, how: string): LaunchState {
  const { trial } = state;
  if (!trial || trial.starts < STARTS_MAX) return state;
  return rejected(state, `ended each of the ${STARTS_MAX} times that it was started: ${how}`);
}

export function proved(state: LaunchState): LaunchState {
  return state.trial ? { good: state.trial.program, trial: null, rejected: null } : state;
}

/** Its files are not what they were: the one on trial is given up; the good one can be fetched anew, since it was not its fault. */
export function damaged(state: LaunchState, error: string): LaunchState {
  return state.trial ? rejected(state, error) : FIRST;
}

export function rejected(state: LaunchState, error: string): LaunchState {
  return state.trial ? { ...state, trial: null, rejected: { program: state.trial.program, error } } : state;
}
