/**
 * How a node comes to run another version of its own program, as a state machine without I/O: `step` takes what happened and gives the
 * next state and what to do.
 *
 *   wanted → fetch, install beside the present one → (held: wait) → switch: the process ends, the launcher starts the other version
 *   started as a version on trial → healthy for PROVE_MS → proved; else the launcher goes back, and tells why at the next start
 *
 * Healthy: connected, and whatever was ready before the switch, and is still wanted, is ready again. An absent wish changes nothing.
 */
import type { ReportedSoftware, Software } from '../protocol/software.ts';

export const PROVE_MS = 10_000;
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

export interface SoftwareState {
  readonly launched: Launched;
  readonly isProved: boolean;
  readonly wanted: Software | null;
  readonly hold: string | null;
  readonly phase: 'idle' | 'fetching' | 'installed' | 'switching';
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
  | { type: 'tick'; hold: string | null; connected: boolean; ready: Ready; wantedItems: Ready };

export type SoftwareEffect =
  | { type: 'fetch'; software: Software }
  /** Ends the process once `report` is out; what was ready is to be on the disk first. */
  | { type: 'switch'; software: Software; ready: Ready }
  | { type: 'proved' }
  /** For the launcher's reason, should it run out of patience. */
  | { type: 'notYet'; reason: string }
  | { type: 'report' };

/** @param readyBefore as the last `switch` gave it */
export function initialSoftware(launched: Launched, readyBefore: Ready): SoftwareState {
  return {
    ...{ launched, isProved: !launched.isTrial, wanted: null, hold: null, phase: 'idle' },
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
      const fresh = { phase: 'idle' as const, retryAt: 0, attempts: 0, refusals: 0, error: null, failed: null };
      return { ...state, ...fresh, wanted, launched };
    }
    case 'installed':
      return state.phase === 'fetching' && event.sha256 === state.wanted?.sha256
        ? { ...state, phase: 'installed', error: null }
        : state;
    case 'fetchFailed': {
      if (state.phase !== 'fetching' || event.sha256 !== state.wanted?.sha256) return state;
      const refusals = state.refusals + (event.isRefused ? 1 : 0);
      const { sha256, error } = event;
      if (event.isFinal || refusals >= REFUSALS_MAX)
        return { ...state, phase: 'idle', refusals, failed: { sha256, error } };
      const attempts = state.attempts + 1;
      const retryAt = now + Math.min(RETRY_MS.max, RETRY_MS.first * 2 ** (attempts - 1));
      return { ...state, phase: 'idle', attempts, refusals, retryAt, error };
    }
    case 'tick':
      return { ...state, hold: event.hold };
  }
}

function prove(
  state: SoftwareState,
  { connected, ready, wantedItems }: SoftwareEvent & { type: 'tick' },
  now: number,
  effects: SoftwareEffect[],
): SoftwareState {
  const missing = state.readyBefore.filter((item) => wantedItems.includes(item) && !ready.includes(item));
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
    effects.push({ type: 'switch', software: wanted, ready: event.ready });
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
