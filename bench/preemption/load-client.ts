/** A process of load-process.ts, as seen from the bench. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import v8Flags from '../../runtime/node/v8-flags.json' with { type: 'json' };
import type { Arrangement, LoadReply, LoadRequest } from './protocol.ts';

const file = fileURLToPath(new URL('./load-process.ts', import.meta.url));
const REPLY_MS_MAX = 1_200_000;

export class LoadClient {
  readonly #child: ChildProcess;

  /** `uncut`: its programs cannot be interrupted. */
  constructor(arrangement: Arrangement, uncut = false) {
    const execArgv = [...v8Flags, ...(uncut ? ['--import', new URL('./uncut.ts', import.meta.url).href] : [])];
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
    this.#child = fork(file, [arrangement], { serialization: 'advanced', stdio: [...stdio], execArgv });
  }

  /** Rejects with what went wrong over there. */
  async ask<Kind extends LoadReply['kind']>(
    kind: Kind,
    request: LoadRequest,
  ): Promise<Extract<LoadReply, { kind: Kind }>> {
    const { promise, resolve, reject } = Promise.withResolvers<LoadReply>();
    const timer = setTimeout(() => reject(new Error(`no answer within ${REPLY_MS_MAX / 1000} s`)), REPLY_MS_MAX);
    const onExit = (code: number | null) => reject(new Error(`the process ended with code ${code}`));
    this.#child.once('message', resolve);
    this.#child.once('exit', onExit);
    this.#child.send(request);
    try {
      const reply = await promise;
      if (reply.kind === kind) return reply as Extract<LoadReply, { kind: Kind }>;
      throw new Error(reply.kind === 'failed' ? reply.message : `expected ${kind}, got ${reply.kind}`);
    } finally {
      clearTimeout(timer);
      this.#child.off('message', resolve);
      this.#child.off('exit', onExit);
    }
  }

  close(): void {
    this.#child.kill();
  }
}
