/** Runs of a simulated node: what is planned for each, what it is at present, what became of it. */
import * as assert from 'uvu/assert';
import type { Batching } from '../../../../runtime/schedule/batch.ts';
import type { EndOutcome, RunAccount, RunRequest } from '../../../../runtime/schedule/events.ts';
import type { HeapItem } from '../../../../runtime/schedule/heap.ts';

/** A run as it will turn out. */
export interface PlannedRun {
  readonly request: RunRequest;
  readonly batching?: Batching;
  readonly arrivalUs: number;
  /** What it really takes on one core. */
  readonly actualUs: number;
  readonly cancelUs?: number;
  readonly fails?: boolean;
  /** In an engine: one run, one for which a program is made first, several one after the other, or nothing but that the model is loaded. */
  readonly use?: 'run' | 'making' | 'steps' | 'load';
}

/** What a core works off: the work of one run, or of a batch. */
export interface Task {
  readonly needUs: number;
  doneUs: number;
}

export interface LiveRun {
  readonly plan: PlannedRun;
  /** The plan's, or of a part of it. */
  readonly request: RunRequest;
  /** Waits for its model to be in memory, and for nothing else. */
  isEntry: boolean;
  readonly priority: number;
  /** The one asked for, or the smaller one that was admitted. */
  model: string;
  state: 'waiting' | 'running' | 'suspended';
  task?: Task;
}

export interface Ended extends Pick<LiveRun, 'plan' | 'request'> {
  readonly outcome: EndOutcome;
  readonly account: RunAccount;
}

export interface WorldSlice {
  readonly cores: readonly number[];
  readonly runs: readonly number[];
  readonly model: string;
  readonly priority: number;
  readonly task: Task;
  readonly startedUs: number;
  readonly fails: boolean;
  stopping: boolean;
  /** The run that waits for it. */
  stoppingFor?: number | undefined;
  alarm: Alarm;
  /** While it stops before that: its end. */
  ends?: Alarm | undefined;
}

export interface Alarm extends HeapItem {
  readonly act: () => void;
}

/** What they have in common tells. */
export function batchUs(runs: readonly LiveRun[]): number {
  const [first, ...others] = runs.map(({ plan }) => plan) as [PlannedRun, ...PlannedRun[]];
  for (const { batching, request } of others) {
    assert.is(batching, first.batching);
    assert.is(request.priority, first.request.priority);
    assert.is(request.tenant, first.request.tenant);
  }
  const size = first.batching?.sizesAt(0).find((each) => each.runs === runs.length);
  assert.ok(size, `${runs.length} runs start together, which no program can`);
  return size.us;
}
