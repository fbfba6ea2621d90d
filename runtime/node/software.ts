/**
 * How a node comes to run another version of its own program, as a state machine without I/O: `step` takes what happened and gives the
 * next state and what to do.
 *
 *   wanted → fetch, install beside the present one → (held, or not settled yet: wait) → switch: the launcher notes the other version,
 *     the process ends, the launcher starts it
 *   started as a version on trial → healthy for PROVE_MS → proved; else the launcher goes back, and tells why at the next start
 *
 * Healthy: connected, and whatever served before the switch, and is still wanted, serves again. An absent wish changes nothing.
 */
import type { ReportedSoftware, Software } from '../protocol/software.ts';

export const PROVE_MS = 10_000;
/** What is to serve again is known once the node has come to rest after a start. What never does must not keep its cure away. */
export const SETTLE_MS = 120_000;
const RETRY_MS = { first: 2_000, max: 300_000 };
/** A file with another content than was promised is asked for again, in case it was damaged on the way, but not for ever. */
const REFUSALS_MAX = 3;

/** As the launcher tells it when it starts the program. */
export interface Launched {
  readonly version: string;
  /** Undefined: the program that the machine came with. */
  readonly sha256: string | undefined;
  readonly isTrial: boolean;
  /** The version that did not prove itself last, and why. */
  readonly rejected: { readonly sha256: string | undefined; readonly error: string } | null;
}

/** What of the node has to be there again after a switch, by kind and name. */
export type Ready = readonly string[];

export interface Items {
  /** What serves, in whichever form. */
  readonly ready: Ready;
  /** What is to be there at all. */
  readonly wanted: Ready;
  /** Nothing is on its way. */
  readonly isSettled: boolean;
}

export interface SoftwareState {
  readonly launched: Launched;
  readonly isProved: boolean;
  readonly wanted: Software | null;
  readonly hold: string | null;
  readonly phase: 'idle' | 'fetching' | 'installed' | 'switching';
  readonly installedAt: number;
  readonly retryAt: number;
  readonly attempts: number;
  readonly refusals: number;
  readonly error: string | null;
  /** Of a version that could not be fetched or installed. */
  readonly failed: { readonly sha256: string | undefined; readonly error: string } | null;
  readonly readyBefore: Ready;
  /** Since when it is healthy. */
  readonly healthyAt: number | null;
}

export type SoftwareEvent =
  | { type: 'wanted'; software: Software | undefined }
  | { type: 'installed'; sha256: string | undefined }
  /** `isFinal`: it would fail again in the same way. `isRefused`: the content was another one than was promised. */
  | { type: 'fetchFailed'; sha256: string | undefined; error: string; isFinal: boolean; isRefused: boolean }
  /** It could not be written down what comes next; the process goes on. */
  | { type: 'switchFailed'; error: string }
  | { type: 'tick'; hold: string | null; connected: boolean; items: Items };

export type SoftwareEffect =
  | { type: 'fetch'; software: Software }
  /** Ends the process once what was ready is on the disk, and the launcher's choice. */
  | { type: 'switch'; software: Software; ready: Ready }
  | { type: 'proved' }
  /** For the launcher's reason, should it run out of patience. */
  | { type: 'notYet'; reason: string }
  | { type: 'report' };

/** @param readyBefore as the last `switch` gave it */
export function initialSoftware(launched: Launched, readyBefore: Ready): SoftwareState {
  return {
    ...{ launched, isProved: !launched.isTrial, wanted: null, hold: null, phase: 'idle', installedAt: 0 },
    ...{ retryAt: 0, attempts: 0, refusals: 0, error: null, failed: null, readyBefore, healthyAt: null },
  };
}

export function step(
  before: SoftwareState,
  event: SoftwareEvent,
  now: number,
): { state: SoftwareState; effects: SoftwareEffect[] } {
  const effects: SoftwareEffect[] = [];
  let state = take(before, event, now);
  if (event.type === 'tick' && !state.isProved) state = prove(state, event, now, effects);
  state = goOn(state, event, now, effects);
  if (JSON.stringify(describeSoftware(state)) !== JSON.stringify(describeSoftware(before)))
    effects.push({ type: 'report' });
  return { state, effects };
}

function take(state: SoftwareState, event: SoftwareEvent, now: number): SoftwareState {
  switch (event.type) {
    case 'wanted': {
      const wanted = event.software ?? null;
      if (wanted?.sha256 === state.wanted?.sha256 && (wanted === null) === (state.wanted === null)) return state;
      // What was found out about one version is forgotten when another is wanted: then it may be tried again.
      const isOther = state.wanted !== null || state.launched.rejected?.sha256 !== wanted?.sha256;
      const launched = isOther ? { ...state.launched, rejected: null } : state.launched;
      // What comes next may be noted already: then another process sees to this wish.
      const phase = state.phase === 'switching' ? ('switching' as const) : ('idle' as const);
      const fresh = { phase, retryAt: 0, attempts: 0, refusals: 0, error: null, failed: null };
      return { ...state, ...fresh, wanted, launched };
    }
    case 'installed':
      return state.phase === 'fetching' && event.sha256 === state.wanted?.sha256
        ? { ...state, phase: 'installed', installedAt: now, error: null }
        : state;
    case 'fetchFailed': {
      if (state.phase !== 'fetching' || event.sha256 !== state.wanted?.sha256) return state;
      const refusals = state.refusals + (event.isRefused ? 1 : 0);
      const { sha256, error } = event;
      if (event.isFinal || refusals >= REFUSALS_MAX)
        return { ...state, phase: 'idle', refusals, failed: { sha256, error } };
      return { ...again(state, error, now), refusals };
    }
    case 'switchFailed':
      return state.phase === 'switching' ? again(state, event.error, now) : state;
    case 'tick':
      return { ...state, hold: event.hold };
  }
}

function again(state: SoftwareState, error: string, now: number): SoftwareState {
  const attempts = state.attempts + 1;
  const retryAt = now + Math.min(RETRY_MS.max, RETRY_MS.first * 2 ** (attempts - 1));
  return { ...state, phase: 'idle', attempts, retryAt, error };
}

function prove(
  state: SoftwareState,
  { connected, items: { ready, wanted } }: SoftwareEvent & { type: 'tick' },
  now: number,
  effects: SoftwareEffect[],
): SoftwareState {
  const missing = state.readyBefore.filter((item) => wanted.includes(item) && !ready.includes(item));
  if (!connected || missing.length > 0) {
    const reason = connected ? `not ready: ${missing.slice(0, 5).join(', ')}` : 'not connected to the broker';
    effects.push({ type: 'notYet', reason });
    return { ...state, healthyAt: null };
  }
  const healthyAt = state.healthyAt ?? now;
  if (now - healthyAt < PROVE_MS) return { ...state, healthyAt };
  effects.push({ type: 'proved' });
  return { ...state, healthyAt, isProved: true };
}

function goOn(state: SoftwareState, event: SoftwareEvent, now: number, effects: SoftwareEffect[]): SoftwareState {
  const { wanted, phase } = state;
  if (!wanted || wanted.sha256 === state.launched.sha256 || problemOf(state) !== undefined) return state;
  if (phase === 'idle' && now >= state.retryAt) {
    effects.push({ type: 'fetch', software: wanted });
    return { ...state, phase: 'fetching' };
  }
  // On trial it has its own proof to wait for first: what it would go back to must be known to be good.
  if (phase === 'installed' && event.type === 'tick' && event.hold === null && state.isProved) {
    if (!event.items.isSettled && now - state.installedAt < SETTLE_MS) return state;
    effects.push({ type: 'switch', software: wanted, ready: event.items.ready });
    return { ...state, phase: 'switching' };
  }
  return state;
}

/** Why the wanted version does not run. */
function problemOf({ wanted, failed, launched }: SoftwareState): string | undefined {
  return [failed, launched.rejected].find((one) => one && one.sha256 === wanted?.sha256)?.error;
}

export function describeSoftware(state: SoftwareState): ReportedSoftware {
  const { launched, wanted, isProved, phase, error } = state;
  const running = {
    version: launched.version,
    ...(launched.sha256 !== undefined && { sha256: launched.sha256 }),
    ...(!isProved && { provisional: true as const }),
  };
  if (!wanted || wanted.sha256 === launched.sha256) return running;
  const target = { version: wanted.version, ...(wanted.sha256 !== undefined && { sha256: wanted.sha256 }) };
  const problem = problemOf(state);
  if (problem !== undefined) return { ...running, update: { ...target, state: 'failed', error: problem } };
  const reached = phase === 'installed' ? 'downloaded' : phase === 'switching' ? 'switching' : 'downloading';
  return { ...running, update: { ...target, state: reached, ...(error !== null && { error }) } };
}
