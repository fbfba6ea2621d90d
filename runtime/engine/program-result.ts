/** What a program's run gives when it has ended. */
import { FAULT_INDEX, FAULT_PLACE, FAULT_TRAP } from '../../assembly/opcodes.ts';
import type { Halt } from './core-messages.ts';
import type { GivenOutputs } from './given-outputs.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { RunResult } from './model.ts';
import type { Tensor } from './tensor.ts';

const DONE = -1;

/** A program has tensors only. */
export interface ProgramResult extends RunResult {
  readonly outputs: Readonly<Record<string, Tensor>>;
}

export function isDone({ result, trap }: Halt): boolean {
  return trap === undefined && result === DONE;
}

/** Where the outputs of a run lie, and how it came to its end. */
export interface EndedRun {
  readonly arena: number;
  /** Its place in a batch. */
  readonly slot: number;
  readonly halt: Halt;
}

/**
 * Outputs of a run that has ended, in pieces, in the arrays that are given for them. Throws an Error that names the node when that was before
 * its time, or when there is no memory for them.
 */
export function* copyOutputs(
  model: string,
  program: LoadedProgram,
  { arena, slot, halt }: EndedRun,
  given?: GivenOutputs,
): Generator<void, Record<string, Tensor>> {
  requireDone(model, program, halt);
  // Arrays that fitted when the run began may lie in other threads now.
  program.checkGiven(model, given);
  try {
    return yield* program.copyOutputs(arena, slot, given);
  } catch (cause) {
    throw withoutMemory(model, cause);
  }
}

/** The same at once, before anybody could do anything to the given arrays. */
export function outputsOf(
  model: string,
  program: LoadedProgram,
  arena: number,
  halt: Halt,
  given?: GivenOutputs,
): Record<string, Tensor> {
  requireDone(model, program, halt);
  try {
    return program.readOutputs(arena, given);
  } catch (cause) {
    throw withoutMemory(model, cause);
  }
}

function requireDone(model: string, program: LoadedProgram, halt: Halt): void {
  if (isDone(halt)) return;
  const what = halt.trap ?? describeFault(-2 - halt.result);
  const node = halt.trap === undefined ? program.nodeAt(halt.faultWord) : 'unknown';
  throw new Error(`model "${model}", node "${node}": the run cannot go on: ${what}`);
}

function withoutMemory(model: string, cause: unknown): Error {
  return new Error(`model "${model}": there is no memory for the outputs`, { cause });
}

/** assembly/opcodes.ts, FAULT_… */
function describeFault(fault: number): string {
  if (fault === FAULT_TRAP) return 'a core that helped could not go on';
  if (fault === FAULT_PLACE) return 'it went on in another section than the one that it was suspended in';
  return fault === FAULT_INDEX ? 'an index lies outside its axis' : `the kernels report fault ${fault}`;
}
