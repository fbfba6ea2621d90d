/**
 * Messages from nodes on their way into the database. They gather while a transaction runs, and the next one takes all of
 * them: one fsync for many. Each describes a state, so the next of its kind replaces it and the queue is as long as the
 * fleet is wide; names beyond any fleet's are left out.
 */
import type { Logger } from 'pino';
import type { StateMessage } from './registry.ts';

const RETRY_MS = 1_000;
/** Between two commits: when a thousand nodes come at once, one fsync serves those of a moment, and the disk holds nobody up. */
const GATHER_MS = 25;

export interface NodeTraffic {
  add(message: StateMessage): void;
  /** Resolves when everything that was added has been taken, or given up because of `close`. */
  close(): Promise<void>;
}

export function createNodeTraffic(
  take: (batch: readonly StateMessage[]) => Promise<void>,
  log: Logger,
  statesMax: number,
): NodeTraffic {
  let waiting = new Map<string, StateMessage>();
  let working: Promise<void> | undefined;
  let closed = false;

  const work = async (): Promise<void> => {
    while (waiting.size > 0) {
      const batch = waiting;
      waiting = new Map();
      try {
        await take([...batch.values()]);
        await new Promise((resolve) => setTimeout(resolve, closed ? 0 : GATHER_MS));
      } catch (error) {
        if (closed) return;
        log.error(`messages from nodes cannot be stored: ${(error as Error).message}; trying again`);
        for (const key of waiting.keys()) batch.delete(key);
        waiting = new Map([...batch, ...waiting]);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };

  return {
    add(message) {
      if (closed) return;
      const key = `${message.node} ${message.kind}`;
      // Taken out first: a message stands at the place of its own arrival, not of the one that it replaces.
      if (!waiting.delete(key) && waiting.size >= statesMax) return;
      waiting.set(key, message);
      working ??= work().finally(() => {
        working = undefined;
      });
    },
    async close() {
      closed = true;
      await working;
    },
  };
}
