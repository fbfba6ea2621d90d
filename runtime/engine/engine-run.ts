/** A program's run, from its submission to its answer. */
import type { RunAccount, RunRequest } from '../schedule/events.ts';
import type { Stop } from './core-messages.ts';
import type { GivenOutputs } from './given-outputs.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { NextSegment } from './next-run.ts';
import { copyOutputs, isDone, type ProgramResult } from './program-result.ts';
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
  arena?: number;
  /** Memory of further cores, when they may take part. */
  lanes?: number;
  /** The core that has it now, and how many others help; how often one was given to it. */
  core?: number;
  helpers: number;
  slices: number;
  pc: number;
  startedMs?: number;
  /** What it has computed, as if by one core. */
  workUs: number;
  /** How it ended on its core, or why it could not begin. */
  stop?: Stop;
  failure?: unknown;
  /** Why it was cancelled. */
  reason?: unknown;
  /** It has ended for the policy, and waits for its core to let go of its memory. */
  settle?: () => void;
}

/** An arena with the inputs of a run, unless it has one. Throws a MemoryLimitError. */
export function openRun(run: EngineRun): number {
  if (run.arena !== undefined) return run.arena;
  const { program, inputs, request } = run;
  const arena = program.openArena(request.model);
  program.writeInputs(arena, inputs);
  run.arena = arena;
  return arena;
}

/** What a core needs to go on with an open run alone: with its lanes, as it may stand amid a section that several had begun. */
export function segmentOf({ program, arena, lanes = 0, pc }: EngineRun): NextSegment {
  return { words: program.words, pc, bases: program.basesOf(arena as number), lanes };
}

export function closeRun(run: EngineRun): void {
  const { program, arena, lanes } = run;
  if (arena !== undefined) program.closeArena(arena);
  if (lanes !== undefined) program.closeArena(lanes);
  run.arena = run.lanes = undefined;
}

/** Learns from a run that its core has left, and copies its outputs, in pieces with room for events between them. */
export function finishRun(
  run: EngineRun,
  stop: Stop,
  account: RunAccount,
  end: (run: EngineRun, answer: () => void) => void,
): void {
  const { program, request, given, submittedMs, arena, answer } = run;
  const startedMs = run.startedMs as number;
  const runMs = stop.endedMs - startedMs;
  const queueMs = Math.max(0, startedMs - submittedMs);
  if (isDone(stop)) {
    program.short.note(runMs);
    program.work.note(run.workUs, account.endedUs);
    if (run.slices === 1) program.sharing.note(run.helpers > 0, runMs);
  }
  const copying = copyOutputs(request.model, program, arena as number, stop, given);
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
