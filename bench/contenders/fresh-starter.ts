/**
 * Starts the processes of fresh-process.ts, one at a time, and takes their times. A process of its own, with little memory: the system copies
 * the page tables of whoever starts another process, and those of the bench, which has loaded models, take longer than a whole start.
 * Asked by bench/fresh.ts over the channel.
 */
import { spawn } from 'node:child_process';
import { deserialize } from 'node:v8';
import type { FreshMessage } from './fresh-process.ts';

/** What to start: its file and arguments, and variables of its environment. */
export interface FreshOrder {
  readonly words: readonly string[];
  readonly environment: Readonly<Record<string, string>>;
}

export type FreshReply =
  | (Omit<Extract<FreshMessage, { kind: 'answered' }>, 'kind'> & {
      readonly kind: 'lived';
      /** From the start of the process to its first answer. */
      readonly wholeMs: number;
      readonly peakBytes: number;
    })
  | { readonly kind: 'failed'; readonly error: string };

const LIFE_MS_MAX = 60_000;
/** In front of each message of a life. */
const LENGTH_BYTES = 4;

function live({ words, environment }: FreshOrder): Promise<FreshReply> {
  const { promise, resolve } = Promise.withResolvers<FreshReply>();
  const startedMs = performance.now();
  const child = spawn(process.execPath, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ...environment },
  });
  const timer = setTimeout(() => child.kill('SIGKILL'), LIFE_MS_MAX);
  let given = Buffer.alloc(0);
  let answered: (Extract<FreshMessage, { kind: 'answered' }> & { wholeMs: number }) | undefined;
  let reply: FreshReply | undefined;
  child.stdout.on('data', (bytes: Buffer) => {
    const wholeMs = performance.now() - startedMs;
    given = Buffer.concat([given, bytes]);
    while (given.length >= LENGTH_BYTES && given.length >= LENGTH_BYTES + given.readUInt32LE()) {
      const end = LENGTH_BYTES + given.readUInt32LE();
      const message = deserialize(given.subarray(LENGTH_BYTES, end)) as FreshMessage;
      given = given.subarray(end);
      if (message.kind === 'answered') answered = { ...message, wholeMs };
      else if (answered) reply = { ...answered, kind: 'lived', peakBytes: message.peakBytes };
    }
  });
  // It keeps things for the next one while it ends.
  child.on('close', (code) => {
    clearTimeout(timer);
    resolve(reply ?? { kind: 'failed', error: `it ended with code ${code} before its work was done` });
  });
  return promise;
}

process.on('message', async (order: FreshOrder) => process.send?.(await live(order)));
process.on('disconnect', () => process.exit());
