/**
 * A unit of a task as the controller sees it, as a state machine: each function takes a unit and what happened, and gives
 * the next one. What a holder says counts only while `isFrom` is true of it; anything else comes from one that was given
 * up, and is settled without effect (book.ts): that is what makes an outcome count once.
 *
 *   queued → assigned → running → succeeded | failed
 *     ↑__________|_________|        a refusal, a lease that ended, a failure with attempts left
 *   assigned | running → withdrawing → cancelled | expired (or how it ended before it heard)
 */
import type { Outcome } from '../../runtime/protocol/tasks.ts';

export type UnitState =
  | 'queued'
  | 'assigned'
  | 'running'
  | 'withdrawing'
  | 'succeeded'
  | 'failed'
  | 'cancelled'
  | 'expired';

export interface Unit {
  readonly task: string;
  readonly index: number;
  readonly state: UnitState;
  /** Times that a node began it and did not succeed. */
  readonly attempts: number;
  /** Of the last assignment; 0 before the first. */
  readonly fence: number;
  /** Who has, or last had it. */
  readonly node: string | null;
  /** The one node that may do it; commands have one. */
  readonly pinned: string | null;
  /** Not assigned again before. */
  readonly retryAt: number;
  /** Where it failed: other nodes are tried first. */
  readonly avoid: readonly string[];
  /** With `withdrawing`: what it becomes. */
  readonly stopping: 'cancelled' | 'expired' | null;
  readonly error: string | null;
}

interface Refusal {
  readonly reason: 'stale' | 'full' | 'unsupported';
  readonly error?: string | undefined;
}

const BACKOFF_MS = { first: 1_000, max: 60_000 };
/** Until a node that was full is asked again. */
const REFUSED_MS = 1_000;

export function newUnit(task: string, index: number, pinned: string | null): Unit {
  const nothing = { attempts: 0, fence: 0, node: null, retryAt: 0, avoid: [], stopping: null, error: null };
  return { task, index, state: 'queued', pinned, ...nothing };
}

/** The task of a unit's id. */
export function taskOf(unit: string): string {
  return unit.slice(0, unit.lastIndexOf('.'));
}

export function unitId({ task, index }: Pick<Unit, 'task' | 'index'>): string {
  return `${task}.${index}`;
}

export function hasEnded({ state }: Pick<Unit, 'state'>): boolean {
  return state === 'succeeded' || state === 'failed' || state === 'cancelled' || state === 'expired';
}

/** Whether a node holds it, or may. */
export function isOut({ state }: Pick<Unit, 'state'>): boolean {
  return state === 'assigned' || state === 'running' || state === 'withdrawing';
}

export function assigned(unit: Unit, node: string, fence: number): Unit {
  return { ...unit, state: 'assigned', node, fence };
}

/**
 * Whether a message with this fence speaks for the unit: it comes from who had it last. A pinned unit has one possible
 * holder, which knows it by its id, so there an older fence says as much.
 */
export function isFrom(unit: Unit, node: string, fence: number): boolean {
  return !hasEnded(unit) && unit.node === node && (unit.fence === fence || unit.pinned === node);
}

/** Its holder has it on its disk; also one whose lease had ended, when nobody else got it meanwhile. */
export function held(unit: Unit, fence: number): Unit {
  const waits = unit.state === 'assigned' || unit.state === 'queued';
  return waits && unit.fence === fence ? { ...unit, state: 'running' } : unit;
}

export function ended(unit: Unit, outcome: Outcome, attemptsMax: number, now: number): Unit {
  if (outcome.state === 'succeeded') return { ...unit, state: 'succeeded', error: null, stopping: null };
  if (unit.stopping !== null) return stopped(unit, unit.stopping, outcome.state === 'failed' ? outcome.error : null);
  if (outcome.state === 'expired')
    return stopped(unit, 'expired', `its deadline had passed by the clock of node "${unit.node}"`);
  // Withdrawn by somebody who is not us any more: a controller that was restored from older data.
  if (outcome.state === 'cancelled') return queuedAgain(unit, unit.retryAt);
  const next = failed(unit, outcome.error, attemptsMax, now);
  // Nobody has it now: told again, the same outcome is not another attempt.
  return next.state === 'queued' ? { ...next, node: null } : next;
}

/** The node does not take it: no attempt was made, unless it cannot. */
export function refused(unit: Unit, { reason, error = '' }: Refusal, attemptsMax: number, now: number): Unit {
  if (unit.stopping !== null) return stopped(unit, unit.stopping, null);
  if (reason === 'unsupported')
    return failed(unit, `node "${unit.node}" cannot read it: ${error}; update the node`, attemptsMax, now);
  return queuedAgain(unit, reason === 'full' ? now + REFUSED_MS : now);
}

/** Its holder has been silent for the whole of the lease. */
export function leaseEnded(unit: Unit, attemptsMax: number, now: number): Unit {
  const silence = `node "${unit.node}" was silent for too long`;
  if (unit.stopping !== null) return stopped(unit, unit.stopping, `${silence}; it may have done it`);
  // Only that node can say what became of it, and it does when it is back: it knows the unit by its id.
  if (unit.state === 'assigned' || unit.pinned !== null) return { ...queuedAgain(unit, now), error: silence };
  return failed(unit, silence, attemptsMax, now);
}

/** Asked to end before its time. */
export function stop(unit: Unit, how: 'cancelled' | 'expired'): Unit {
  if (unit.state === 'queued') return stopped(unit, how, unit.error);
  return isOut(unit) ? { ...unit, state: 'withdrawing', stopping: unit.stopping ?? how } : unit;
}

function stopped(unit: Unit, state: 'cancelled' | 'expired', error: string | null): Unit {
  return { ...unit, state, stopping: null, error };
}

function queuedAgain(unit: Unit, retryAt: number): Unit {
  return { ...unit, state: 'queued', retryAt };
}

function failed(unit: Unit, error: string, attemptsMax: number, now: number): Unit {
  const attempts = unit.attempts + 1;
  const next = { ...unit, attempts, error, avoid: withNode(unit) };
  if (attempts >= attemptsMax) return { ...next, state: 'failed' };
  const wait = Math.min(BACKOFF_MS.max, BACKOFF_MS.first * 2 ** (attempts - 1));
  // Spread by the unit's place, so that a thousand units that failed together do not return together.
  return queuedAgain(next, now + wait * (1 + (unit.index % 16) / 32));
}

function withNode({ avoid, node }: Unit): readonly string[] {
  return node === null || avoid.includes(node) ? avoid : [...avoid, node];
}
