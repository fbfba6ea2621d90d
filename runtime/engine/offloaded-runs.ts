/**
 * Runs that another engine computes, one at a time and each to its end, as it cannot be interrupted: the policy decides which one is next, as
 * it does for the cores, and the same deadlines, time-outs, tenants and accounts hold.
 */
import type { Decision, RunAccount, RunRequest, SchedulerEvent } from '../schedule/events.ts';
import { WorkEstimate } from '../schedule/work-estimate.ts';
import type { Clock } from './clock-io.ts';
import type { RunOptions, RunResult } from './model.ts';
import { endedEarly, refused } from './run-error.ts';
import { requestOf } from './run-request.ts';

/** For the policy: the accelerator that computes what our kernels cannot. */
export const OFFLOAD = 'onnxruntime';

export interface OffloadQueue {
  /**
   * Calls `compute` when it is the run's turn on an accelerator. Rejects with a RunError, with what `compute` rejects with, or with the
   * signal's reason.
   */
  run(model: string, options: RunOptions, compute: () => Promise<RunResult>, accelerator?: string): Promise<RunResult>;
  /** Ends the runs of a model there that wait: they reject with `reason`. Resolves when none is computed any more. */
  close(model: string, reason: Error, accelerator?: string): Promise<void>;
}

export interface OffloadPorts {
  readonly clock: Clock;
  readonly nextId: () => number;
  readonly submitted: (request: RunRequest) => void;
  readonly tell: (event: SchedulerEvent) => void;
}

interface OffloadedRun {
  readonly request: RunRequest;
  readonly submittedMs: number;
  readonly compute: () => Promise<RunResult>;
  readonly answer: PromiseWithResolvers<RunResult>;
  /** Stops listening to whoever may cancel it. */
  readonly forget: () => void;
  startedMs?: number;
  result?: RunResult;
  failure?: unknown;
  /** Why it was cancelled. */
  reason?: unknown;
}

export class OffloadedRuns implements OffloadQueue {
  readonly #ports: OffloadPorts;
  readonly #runs = new Map<number, OffloadedRun>();
  /** How long the runs of each model take that the policy knows. */
  readonly #models = new Map<string, WorkEstimate>();
  /** What is computed, also when its run has ended before. */
  readonly #computing = new Map<Promise<void>, string>();

  constructor(ports: OffloadPorts) {
    this.#ports = ports;
  }

  async run(
    name: string,
    options: RunOptions,
    compute: () => Promise<RunResult>,
    accelerator = OFFLOAD,
  ): Promise<RunResult> {
    const { signal } = options;
    signal?.throwIfAborted();
    const { clock, nextId, submitted, tell } = this.#ports;
    const submittedMs = clock.nowMs();
    const model = policyName(name, accelerator);
    const program = { work: this.#estimate(model, accelerator), sharing: { isWanted: false } };
    const request = requestOf(options, { model, program, cores: 1 }, nextId(), {
      nowUs: submittedMs * 1000,
      epochMs: () => clock.epochMs(),
    });
    const abort = (): void => this.#cancel(run, signal?.reason);
    const run: OffloadedRun = {
      ...{ request, submittedMs, compute },
      answer: Promise.withResolvers(),
      forget: () => signal?.removeEventListener('abort', abort),
    };
    signal?.addEventListener('abort', abort, { once: true });
    this.#runs.set(request.id, run);
    submitted(request);
    tell({ kind: 'submit', request });
    return run.answer.promise;
  }

  async close(name: string, reason: Error, accelerator = OFFLOAD): Promise<void> {
    const model = policyName(name, accelerator);
    const runs = [...this.#runs.values()].filter(({ request }) => request.model === model);
    for (const run of runs) if (run.startedMs === undefined) this.#cancel(run, reason);
    await Promise.all([...this.#computing].filter(([, of]) => of === model).map(([computing]) => computing));
    // Another model may have the same name.
    const isUsed = [...this.#runs.values()].some(({ request }) => request.model === model);
    if (isUsed || !this.#models.delete(model)) return;
    this.#ports.tell({ kind: 'model-removed', model });
  }

  /** What the policy decides about its runs; false when the run is none of them. */
  carryOut(decision: Extract<Decision, { kind: 'start' | 'refuse' | 'end' }>): boolean {
    const run = this.#runs.get(decision.kind === 'start' ? (decision.runs[0] as number) : decision.run);
    if (!run) return false;
    if (decision.kind === 'start') this.#start(run, decision.cores[0] as number);
    else if (decision.kind === 'refuse') this.#end(run, () => run.answer.reject(refused(run.request, decision)));
    else this.#end(run, () => this.#settle(run, decision));
    return true;
  }

  #estimate(model: string, accelerator: string): WorkEstimate {
    const known = this.#models.get(model);
    if (known) return known;
    const work = new WorkEstimate();
    this.#models.set(model, work);
    const { clock, tell } = this.#ports;
    const accelerators = {
      get [accelerator]() {
        return work.meanUs(clock.nowMs() * 1000);
      },
    };
    tell({ kind: 'model-added', model: { name: model, bytes: 0, pinned: true, onCores: false, accelerators } });
    return work;
  }

  #start(run: OffloadedRun, place: number): void {
    const { request, compute } = run;
    run.startedMs = this.#ports.clock.nowMs();
    const computing = compute()
      .then(
        (result) => {
          run.result = result;
        },
        (failure) => {
          run.failure = failure;
        },
      )
      .then(() => {
        this.#computing.delete(computing);
        this.#ports.tell({ kind: 'stopped', core: place, outcome: run.result ? 'done' : 'failed' });
      });
    this.#computing.set(computing, request.model);
  }

  #cancel(run: OffloadedRun, reason: unknown): void {
    run.reason ??= reason;
    this.#ports.tell({ kind: 'cancel', run: run.request.id });
  }

  #end(run: OffloadedRun, answer: () => void): void {
    this.#runs.delete(run.request.id);
    run.forget();
    answer();
  }

  #settle(run: OffloadedRun, end: Extract<Decision, { kind: 'end' }>): void {
    const { request, answer, result } = run;
    const { outcome, account } = end;
    if (outcome === 'done' && result) {
      this.#models.get(request.model)?.note(account.runUs, account.endedUs);
      answer.resolve({ ...result, queueMs: waitedMs(account), accounts: [account] });
    } else if (outcome === 'failed') answer.reject(run.failure);
    else if (outcome === 'cancelled') answer.reject(run.reason);
    else answer.reject(endedEarly(request, account.runUs, end));
  }
}

/** The same model may have run, or run again, on the cores. */
function policyName(model: string, accelerator: string): string {
  return `${model} (${accelerator})`;
}

function waitedMs({ submittedUs, slices: [first] }: RunAccount): number {
  return ((first?.fromUs ?? submittedUs) - submittedUs) / 1000;
}
