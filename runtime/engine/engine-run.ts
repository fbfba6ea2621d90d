/** A program's run, from its submission to its answer; and what a core is given: one run, or several that are computed together. */
import type { RunAccount, RunRequest } from '../schedule/events.ts';
import type { Core } from './core.ts';
import type { Stop } from './core-messages.ts';
import type { GivenOutputs } from './given-outputs.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { NextSegment } from './next-run.ts';
import { copyOutputs, type ProgramResult } from './program-result.ts';
import type { Tensor } from './tensor.ts';

/** What a caller wants. */
export interface AskedRun {
  readonly request: RunRequest;
  readonly program: LoadedProgram;
  readonly inputs: Readonly<Record<string, Tensor>>;
  /** Where outputs are written to. */
  readonly given: GivenOutputs | undefined;
  readonly submittedMs: number;
}

export interface EngineRun extends AskedRun {
  readonly answer: PromiseWithResolvers<ProgramResult>;
  /** Stops listening to whoever may cancel it. */
  readonly forget: () => void;
  /** What computes it: changes once, when it becomes part of a batch; and its place there. */
  work: Computation;
  slot: number;
  /** It has ended for the policy. */
  isOver: boolean;
  /** Why it was cancelled. */
  reason?: unknown;
}

export interface Computation {
  readonly model: string;
  /** For as many runs as it began with. */
  readonly program: LoadedProgram;
  /** Without those that were answered. */
  readonly runs: Set<EngineRun>;
  arena?: number;
  /** Memory of further cores, when they may take part. */
  lanes?: number;
  /** The core that has it now, and how many others help; how often one was given to it. */
  core?: number;
  helpers: number;
  slices: number;
  pc: number;
  startedMs?: number;
  /** What has been computed, as if by one core. */
  workUs: number;
  /** How it ended on its core, or why it could not begin. */
  stop?: Stop;
  failure?: unknown;
  /** Its last run has ended for the policy, and waits for the core to let go of the memory. */
  settle?: () => void;
}

export type Begun = Pick<Computation, 'arena' | 'pc' | 'startedMs' | 'workUs'>;

export function newRun(
  asked: AskedRun,
  begun: Begun = { pc: 0, workUs: 0 },
  forget: EngineRun['forget'] = () => {},
): EngineRun {
  const { request, program } = asked;
  const work: Computation = { model: request.model, program, runs: new Set(), helpers: 0, slices: 0, ...begun };
  const run: EngineRun = { ...asked, work, slot: 0, isOver: false, answer: Promise.withResolvers(), forget };
  work.runs.add(run);
  return run;
}

/** What computes runs that start, or go on, together. */
export function workOf(runs: readonly EngineRun[]): Computation {
  const [first] = runs as readonly [EngineRun];
  if (runs.length === 1 || first.work.program.isBatch) return first.work;
  const program = first.program.batches?.programFor(runs.length);
  if (!program) throw new Error(`assertion: ${runs.length} runs start together, expected a size that was offered`);
  program.users++;
  const work = { ...first.work, program, runs: new Set(runs) };
  for (const [slot, run] of runs.entries()) {
    run.work = work;
    run.slot = slot;
  }
  return work;
}

/** An arena with the inputs of the runs, unless there is one. Throws a MemoryLimitError. */
export function openWork(work: Computation): number {
  if (work.arena !== undefined) return work.arena;
  const { program, runs, model } = work;
  const arena = program.openArena(model);
  for (const { inputs, slot } of runs) program.writeInputs(arena, inputs, slot);
  work.arena = arena;
  return arena;
}

/** Further cores for it, of all, when there is memory for them. */
export function helpersOf(work: Computation, cores: readonly Core[], places: readonly number[]): readonly Core[] {
  if (places.length === 0) return [];
  const helpers = places.map((place) => cores[place] as Core).filter((helper) => helper.isReady);
  try {
    work.lanes ??= work.program.openLanes(cores.length, work.model);
  } catch {
    return [];
  }
  return helpers;
}

/** What a core needs to go on with open work alone: with its lanes, as it may stand amid a section that several had begun. */
export function segmentOf({ program, arena, lanes = 0, pc }: Computation): NextSegment {
  return { words: program.words, pc, bases: program.basesOf(arena as number), lanes };
}

export function closeWork(work: Computation): void {
  const { program, arena, lanes } = work;
  if (arena !== undefined) program.closeArena(arena);
  if (lanes !== undefined) program.closeLanes(lanes);
  work.arena = work.lanes = undefined;
}

/** The run needs it no more; the last one gives back what it took. */
export function leaveWork(run: EngineRun): void {
  const { work } = run;
  work.runs.delete(run);
  if (work.runs.size > 0) return;
  closeWork(work);
  if (work.program.isBatch) work.program.users--;
}

/** How long the program takes, from work that its core has left. */
export function learnFrom({ program, startedMs, workUs, slices, helpers }: Computation, { endedMs }: Stop): void {
  const runMs = endedMs - (startedMs as number);
  program.short.note(runMs);
  program.work.note(workUs, endedMs * 1000);
  if (slices === 1) program.sharing.note(helpers > 0, runMs);
}

/** Copies the outputs of a run that its core has left, in pieces with room for events between them. */
export function finishRun(
  run: EngineRun,
  stop: Stop,
  account: RunAccount,
  end: (run: EngineRun, answer: () => void) => void,
): void {
  const { work, slot, request, given, submittedMs, answer } = run;
  const startedMs = work.startedMs as number;
  const runMs = stop.endedMs - startedMs;
  const queueMs = Math.max(0, startedMs - submittedMs);
  const copying = copyOutputs(request.model, work.program, { arena: work.arena as number, slot, halt: stop }, given);
  const copy = (): void => {
    try {
      const { done, value } = copying.next();
      if (!done) setImmediate(copy);
      else end(run, () => answer.resolve({ outputs: value, queueMs, runMs, accounts: [account] }));
    } catch (error) {
      end(run, () => answer.reject(error));
    }
  };
  copy();
}
