/** The program's side of the launcher: what it was started as, and what it answers. Undefined where nobody launched it. */
import type { Launched } from '../../runtime/node/software.ts';
import { answerSchema, fromLauncherSchema, type ToLauncher } from './launch-messages.ts';

const NOTED_MS = 5_000;

export interface Connected {
  readonly launched: Launched;
  readonly kept: readonly string[];
  send(message: ToLauncher): void;
  /** Resolves when the launcher has the choice on its disk; rejects when it cannot, or does not answer. */
  tryNext(program: string | null): Promise<void>;
}

/** @param version of this program, as it was built */
export function connectLauncher(version: string): Connected | undefined {
  const told = process.env.LLMASOS_LAUNCHED;
  if (told === undefined || process.send === undefined) return undefined;
  const { program, isTrial, good, rejected } = fromLauncherSchema.parse(JSON.parse(told));
  const send = (message: ToLauncher): void => void process.send?.(message);
  return {
    launched: {
      ...{ version, sha256: program ?? undefined, isTrial },
      rejected: rejected && { sha256: rejected.program ?? undefined, error: rejected.error },
    },
    kept: [program, good].filter((one) => one !== null),
    send,
    tryNext: (next) =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error('the launcher does not answer')), NOTED_MS);
        process.once('message', (message) => {
          clearTimeout(timer);
          const { error } = answerSchema.parse(message);
          if (error === undefined) resolve();
          else reject(new Error(`the launcher cannot note it: ${error}`));
        });
        send({ type: 'try', program: next });
      }),
  };
}
