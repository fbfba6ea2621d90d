/** What became of the latest runs, so that each can be asked why it waited. Times are microseconds of the scheduler's clock. */
import { milliseconds } from './admission.ts';
import type { Decision, EndOutcome, RunAccount, RunRequest } from './events.ts';
import { PRIORITIES, priorityOf } from './priorities.ts';

/** Runs that are remembered; the oldest goes first. */
const RUNS_MAX = 1000;
/** Runs that an explanation names. */
const NAMED_MAX = 3;

export interface TimelineRun {
  readonly request: RunRequest;
  readonly outcome: EndOutcome | 'refused';
  /** Of a refusal, or a failure. */
  readonly reason?: string;
  /** The smaller model that was taken, and why. */
  readonly degraded?: { readonly model: string; readonly reason: string };
  /** Absent of a run that was refused. */
  readonly account?: RunAccount;
}

export class Timeline {
  readonly #open = new Map<number, RunRequest>();
  readonly #degraded = new Map<number, NonNullable<TimelineRun['degraded']>>();
  readonly #ended: TimelineRun[] = [];

  submitted(request: RunRequest): void {
    this.#open.set(request.id, request);
  }

  /** A run that was computed at once. */
  served(request: RunRequest, account: RunAccount): void {
    this.#keep({ request, outcome: 'done', account });
  }

  /** Takes what the scheduler decided. */
  note(decisions: readonly Decision[]): void {
    for (const decision of decisions) {
      if (decision.kind === 'degrade') this.#degraded.set(decision.run, decision);
      else if (decision.kind === 'refuse') this.#end(decision.run, { outcome: 'refused', reason: decision.reason });
      else if (decision.kind === 'end') {
        const { outcome, reason, account } = decision;
        this.#end(decision.run, { outcome, reason, account });
      }
    }
  }

  /** In the order in which they ended. */
  get runs(): readonly TimelineRun[] {
    return this.#ended;
  }

  #end(id: number, ending: Omit<TimelineRun, 'request' | 'degraded'>): void {
    const request = this.#open.get(id);
    if (!request) return;
    this.#open.delete(id);
    // Its wait for memory stands in the account of the run that takes its place.
    if (ending.outcome === 'done' && ending.account?.slices.length === 0) return;
    this.#keep({ request, degraded: this.#degraded.get(id), ...ending });
    this.#degraded.delete(id);
  }

  #keep(run: TimelineRun): void {
    this.#ended.push(run);
    if (this.#ended.length > RUNS_MAX) this.#ended.shift();
  }
}

/** Where the time of a run went: it adds up to the time from its submission to its end. */
export interface WaitParts {
  /** For its model to be in memory, with a program for its inputs. */
  readonly memoryUs: number;
  /** For a core, before it first had one. */
  readonly coreUs: number;
  /** Between slices: set aside for others, or until it went on with other cores. */
  readonly asideUs: number;
  readonly computingUs: number;
}

export function waitParts({ submittedUs, readyUs, endedUs, slices }: RunAccount): WaitParts {
  const [first] = slices;
  const memoryUs = (readyUs ?? endedUs) - submittedUs;
  const firstUs = first?.fromUs ?? endedUs;
  const computingUs = slices.reduce((sum, { fromUs, untilUs }) => sum + untilUs - fromUs, 0);
  return {
    memoryUs,
    coreUs: firstUs - submittedUs - memoryUs,
    asideUs: endedUs - firstUs - computingUs,
    computingUs,
  };
}

/** Why a run took as long as it did, in sentences. */
export function explainRun({ request, outcome, reason, degraded, account }: TimelineRun): string {
  const model = degraded?.model ?? request.model;
  const name = `run ${request.id} (model ${model}, ${className(request)}, tenant ${request.tenant})`;
  const sentences: string[] = [];
  if (!account) return `${name}: refused: ${reason}`;
  const { memoryUs, coreUs, asideUs, computingUs } = waitParts(account);
  const accelerator = account.slices[0]?.accelerator;
  sentences.push(
    `${name}: ${milliseconds(account.endedUs - account.submittedUs)} from submission to end, ${account.slices.length === 0 ? 'none' : milliseconds(computingUs)} of them on ${placeText(account)}`,
  );
  const waits = [
    memoryUs > 0 ? `${milliseconds(memoryUs)} for its model to be ready` : '',
    coreUs > 0 ? `${milliseconds(coreUs)} for ${accelerator ?? 'a core'}` : '',
    // One that was set aside may go on at once, with a core that came free in the same moment.
    asideUs > 0 || account.preemptions > 0 ? `${milliseconds(asideUs)} set aside${asideText(account)}` : '',
  ].filter(Boolean);
  sentences.push(waits.length > 0 ? `it waited ${waits.join(', ')}` : 'it did not wait');
  if (degraded) sentences.push(`${degraded.model} took the place of ${request.model}: ${degraded.reason}`);
  sentences.push(endText(outcome, request, account, reason));
  return `${sentences.join('; ')}.`;
}

function placeText({ slices }: RunAccount): string {
  const accelerator = slices[0]?.accelerator;
  if (accelerator !== undefined) return accelerator;
  const cores = [...new Set(slices.flatMap((slice) => slice.cores))].sort((a, b) => a - b);
  if (cores.length === 0) return slices.length === 0 ? 'any core' : 'the calling thread';
  const batch = Math.max(...slices.map((slice) => slice.batch));
  const shared = batch > 1 ? ` in a batch of ${batch}` : '';
  return `core${cores.length > 1 ? 's' : ''} ${cores.join(', ')}${shared}`;
}

/** Cores, and accelerators by their names, as rows of a picture: all that the runs were computed on, in order of their numbers. */
export function placesOf(runs: readonly { readonly account: RunAccount }[]): { place: number; name: string }[] {
  const names = new Map<number, string>();
  for (const { account } of runs)
    for (const { cores, accelerator } of account.slices)
      for (const core of cores) names.set(core, accelerator ?? `core ${core}`);
  return [...names].map(([place, name]) => ({ place, name })).sort((a, b) => a.place - b.place);
}

function asideText({ preemptions, slices }: RunAccount): string {
  const others = [...new Set(slices.flatMap(({ preemptedBy }) => (preemptedBy === undefined ? [] : [preemptedBy])))];
  if (others.length === 0) return '';
  const named = others.slice(0, NAMED_MAX).join(', ');
  const rest = others.length > NAMED_MAX ? ` and ${others.length - NAMED_MAX} more` : '';
  return ` ${preemptions === 1 ? 'once' : `${preemptions} times`} for run${others.length > 1 ? 's' : ''} ${named}${rest}`;
}

function endText(
  outcome: TimelineRun['outcome'],
  { deadlineUs }: RunRequest,
  { endedUs }: RunAccount,
  reason: string | undefined,
): string {
  const words = {
    done: 'done',
    failed: 'it failed',
    cancelled: 'it was cancelled',
    late: 'its deadline passed',
    'timed-out': 'its time was out',
    refused: 'refused',
  };
  const end = reason === undefined ? words[outcome] : `${words[outcome]}: ${reason}`;
  if (outcome !== 'done' || deadlineUs === undefined) return end;
  return `${end} ${milliseconds(deadlineUs - endedUs)} before its deadline`;
}

export function className({ priority }: RunRequest): string {
  return PRIORITIES[priorityOf(priority) ?? -1]?.name ?? String(priority);
}
