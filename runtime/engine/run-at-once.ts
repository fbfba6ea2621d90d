/** Runs that are so short that they are computed where they are submitted. */
import type { RunAccount } from '../schedule/events.ts';
import type { AskedRun, Begun } from './engine-run.ts';
import { outputsOf, type ProgramResult } from './program-result.ts';
import { accountAtOnce } from './run-request.ts';
import type { ShortRuns } from './short-runs.ts';

/** On this thread: the result, or where the run stands when it has taken too long. `served` is told of what was computed whole. */
export function runAtOnce(
  short: ShortRuns,
  { request, program, inputs, given, submittedMs }: AskedRun,
  served: (us: number, account: RunAccount) => void,
): ProgramResult | Begun {
  const arena = program.openArena(request.model);
  let goesOn = false;
  try {
    program.writeInputs(arena, inputs);
    const halt = short.execute(program, arena);
    program.short.note(halt.ms);
    goesOn = halt.trap === undefined && halt.result >= 0;
    const us = halt.ms * 1000;
    if (goesOn) return { arena, pc: halt.result, startedMs: submittedMs, workUs: us };
    const outputs = outputsOf(request.model, program, arena, halt, given);
    const account = accountAtOnce(request, submittedMs * 1000, us);
    served(us, account);
    program.work.note(us, account.endedUs);
    return { outputs, queueMs: 0, runMs: halt.ms, accounts: [account] };
  } finally {
    if (!goesOn) program.closeArena(arena);
  }
}
