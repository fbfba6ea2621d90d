/** Thrown by a run that has no answer although nothing is wrong with its model or its input. */
import type { Decision, RefusalCause, RunAccount, RunRequest } from '../schedule/events.ts';

export class RunError extends Error {
  override readonly name = 'RunError';
  readonly outcome: 'refused' | 'late' | 'timed-out';
  /** Of a run that was refused at submission: the request is wrong, the tenant has enough, or the answer would come too late. */
  readonly refusal?: RefusalCause;
  /** Where its time went; absent when it was refused. */
  readonly account?: RunAccount;

  constructor(
    message: string,
    outcome: RunError['outcome'],
    more: { readonly refusal?: RefusalCause; readonly account?: RunAccount } = {},
  ) {
    super(message);
    this.outcome = outcome;
    this.refusal = more.refusal;
    this.account = more.account;
  }
}

/** A run that has not begun, and whose model made room for a more urgent one: it begins anew when `entry` resolves. */
export class Displaced extends Error {
  override readonly name = 'Displaced';
  readonly entry: Promise<void>;

  constructor(entry: Promise<void>) {
    super('the model makes room for a more urgent one');
    this.entry = entry;
  }
}

export function refused({ model }: RunRequest, { cause, reason }: Extract<Decision, { kind: 'refuse' }>): RunError {
  return new RunError(`model "${model}": the run was refused: ${reason}`, 'refused', { refusal: cause });
}

/** Of a run that was ended at its deadline, or when its time was out, having computed for so long. */
export function endedEarly(
  { model, timeoutUs = 0 }: RunRequest,
  workUs: number,
  { outcome, account }: Extract<Decision, { kind: 'end' }>,
): RunError {
  const isLate = outcome === 'late';
  const when = isLate ? 'at its deadline' : `after its ${timeoutUs / 1000} ms`;
  const message = `model "${model}": the run was ended ${when}, when ${(workUs / 1000).toFixed(1)} ms were computed`;
  return new RunError(message, isLate ? 'late' : 'timed-out', { account });
}

/** Whether an error, or what caused it, is a run that came too late or would have. */
export function isLate(error: unknown): boolean {
  for (let each = error; each instanceof Error; each = each.cause)
    if (each instanceof RunError) return each.outcome !== 'refused' || each.refusal === 'deadline';
  return false;
}
