/** What the scheduler is told and what it decides. Times are microseconds of one monotonic clock. */
import type { Batching } from './batch.ts';

export interface ModelSpec {
  readonly name: string;
  /** What it takes of the memory; 0 while nobody knows. */
  readonly bytes: number;
  /** Never unloaded; loaded at once when it is there from the start. */
  readonly pinned?: boolean;
  /** Estimated time to load. */
  readonly loadUs?: number;
  /** Estimated time of one run on the accelerators that can compute it, by their names. */
  readonly accelerators?: Readonly<Record<string, number>>;
  /** False when only accelerators can compute it. */
  readonly onCores?: boolean;
}

export interface TenantSpec {
  readonly name: string;
  /** Share of the core time relative to other tenants of the same class. */
  readonly weight: number;
  /** Runs of one class that may wait or compute at a time. */
  readonly runsMax: number;
}

export interface SchedulerSpec {
  readonly cores: number;
  /** Those that can compute from the start; further ones are announced, one after the other. Default: all. */
  readonly coresReady?: number;
  /** For all models together. */
  readonly memoryBytes: number;
  /** The longest that a core works on after it was told to suspend. */
  readonly instructionUs: number;
  /** From the end of a run on its core until its caller has the answer, at the most: its deadline is his. Default: 0. */
  readonly answerUs?: number;
  /** GPUs and the like: each computes one run at a time, to its end. Their numbers follow those of the cores. */
  readonly accelerators?: readonly string[];
  readonly tenants: readonly TenantSpec[];
  readonly models: readonly ModelSpec[];
}

export interface RunRequest {
  /** Unique among the runs that have not ended. */
  readonly id: number;
  readonly model: string;
  readonly tenant: string;
  /** Name or number of the class. */
  readonly priority: string | number;
  /** Time on one core: an upper bound for safety, an estimate for the others. */
  readonly workUs: number;
  /** Nobody knows how long it takes: a safety run may then take until it is ended, for whatever is promised to others. */
  readonly isUnknown?: boolean;
  /** When the answer loses its use: the run is ended then. */
  readonly deadlineUs?: number;
  /** The longest that the run may take from its submission, whatever it waits for: a bound, not a wish to be early. */
  readonly timeoutUs?: number;
  /** Cores that the run can use at a time. Default 1. */
  readonly cores?: number;
  /** What to run when a deadline forbids the model itself, best first. */
  readonly instead?: readonly Substitute[];
  /** When the whole was submitted that this is a part of: its turn and its account count from then. Default: now. */
  readonly sinceUs?: number;
  /** Others were computed for the whole before: the account is of this part only. */
  readonly isContinued?: boolean;
  /**
   * An entry needs no core: it is done as soon as its model is in memory, which is held there from then on (as by `hold`). A step is part of
   * what holds its model, and so never waits for memory.
   */
  readonly part?: 'entry' | 'step';
}

/** A smaller model for the same input. */
export interface Substitute {
  readonly model: string;
  readonly workUs: number;
}

export type StopOutcome = 'suspended' | 'done' | 'failed';

export type SchedulerEvent =
  /** Runs that have one batching in common may be computed together; those without are computed alone. */
  | { readonly kind: 'submit'; readonly request: RunRequest; readonly batching?: Batching }
  | { readonly kind: 'cancel'; readonly run: number }
  /** A core, the first one of a decision to start, has stopped; and has begun the run that was `Scheduler.next` already. */
  | { readonly kind: 'stopped'; readonly core: number; readonly outcome: StopOutcome; readonly next?: number }
  /** `bytes`: what it takes, where that was measured. */
  | { readonly kind: 'loaded'; readonly model: string; readonly bytes?: number; readonly loadUs?: number }
  | { readonly kind: 'load-failed'; readonly model: string; readonly reason: string }
  | { readonly kind: 'unloaded'; readonly model: string }
  /**
   * The model needs `bytes` in all, for which there was no room. Its load was given up, or its runs that have not started wait: until others
   * have made room.
   */
  | { readonly kind: 'short'; readonly model: string; readonly bytes: number }
  /** The model takes `bytes` by now, if that is more than was known. */
  | { readonly kind: 'measured'; readonly model: string; readonly bytes: number }
  /** Something besides its runs uses a model that is in memory: it stays until `let-go`. */
  | { readonly kind: 'hold'; readonly model: string }
  | { readonly kind: 'let-go'; readonly model: string }
  /** The run, which has not started, becomes an entry: what it was to run went with its model. */
  | { readonly kind: 'displaced'; readonly run: number }
  /** One more core can compute: the next in number. */
  | { readonly kind: 'core-ready' }
  /** A model to be loaded when a run waits for it. */
  | { readonly kind: 'model-known'; readonly model: ModelSpec }
  /** A model that somebody else brought into memory, and takes out again when none of its runs is left. */
  | { readonly kind: 'model-added'; readonly model: ModelSpec }
  /** None of its runs is left, and it is not being loaded or unloaded. */
  | { readonly kind: 'model-removed'; readonly model: string }
  /** Time has passed: see Scheduler.wakeUs. */
  | { readonly kind: 'tick' };

/** Where the time of a run went. */
export interface RunAccount {
  readonly submittedUs: number;
  /** When its model was in memory, with a program for its inputs; absent when that never was. */
  readonly readyUs?: number;
  readonly endedUs: number;
  /** Time on cores; a batch's is divided among its runs. */
  readonly runUs: number;
  readonly preemptions: number;
  /** When and where it was computed; the time between them it waited. */
  readonly slices: readonly RunSlice[];
}

/** One stretch on the same cores. */
export interface RunSlice {
  readonly fromUs: number;
  readonly untilUs: number;
  readonly cores: readonly number[];
  /** Whose number stands for a core. */
  readonly accelerator?: string;
  /** Runs that it shared the cores with, itself included. */
  readonly batch: number;
  /** The run for which it was set aside. */
  readonly preemptedBy?: number;
}

export type EndOutcome = 'done' | 'failed' | 'cancelled' | 'late' | 'timed-out';

/** The request is wrong, the tenant has enough, or the answer would come too late. */
export type RefusalCause = 'request' | 'quota' | 'deadline';

export type Decision =
  | { readonly kind: 'refuse'; readonly run: number; readonly cause: RefusalCause; readonly reason: string }
  /** Admitted with a smaller model, for the reason stated. */
  | { readonly kind: 'degrade'; readonly run: number; readonly model: string; readonly reason: string }
  /** Start, or resume, runs of one model: more than one is a batch, more than one core computes it together. */
  | { readonly kind: 'start'; readonly cores: readonly number[]; readonly runs: readonly number[] }
  /**
   * Tell the core, the first one of a decision to start, to stop after its present instruction. Never an accelerator. `for`: the run that waits
   * for it; where another core has it first, this one may go on at once.
   */
  | { readonly kind: 'suspend'; readonly core: number; readonly for?: number }
  /** It need not stop: the run for which it was to has another core. It may have stopped already. */
  | { readonly kind: 'go-on'; readonly core: number }
  | { readonly kind: 'load'; readonly model: string }
  | { readonly kind: 'unload'; readonly model: string }
  | {
      readonly kind: 'end';
      readonly run: number;
      readonly outcome: EndOutcome;
      readonly reason?: string;
      readonly account: RunAccount;
    };
