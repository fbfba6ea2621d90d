/**
 * Messages from nodes on their way into the database. They gather while a transaction runs, and the next one takes all of
 * them: one fsync for many. A message of a kind that describes a state replaces the one before it, so the queue is as
 * long as the fleet is wide; outbox items beyond a bound are left to the node, which sends them again.
 */
import type { Logger } from 'pino';
import type { NodeMessage } from './registry.ts';

const OUTBOX_MESSAGES_MAX = 200;
const RETRY_MS = 1_000;

export type StoredMessage = Exclude<NodeMessage, { kind: 'reply' }>;

export interface NodeTraffic {
  add(message: StoredMessage): void;
  /** Resolves when everything that was added has been taken, or given up because of `close`. */
  close(): Promise<void>;
}

export function createNodeTraffic(take: (batch: readonly StoredMessage[]) => Promise<void>, log: Logger): NodeTraffic {
  let states = new Map<string, StoredMessage>();
  let outbox: StoredMessage[] = [];
  let working: Promise<void> | undefined;
  let closed = false;

  const work = async (): Promise<void> => {
    while (states.size + outbox.length > 0) {
      const batch = { states, outbox };
      states = new Map();
      outbox = [];
      try {
        await take([...batch.states.values(), ...batch.outbox]);
      } catch (error) {
        if (closed) return;
        log.error(`messages from nodes cannot be stored: ${(error as Error).message}; trying again`);
        states = new Map([...batch.states, ...states]);
        outbox = [...batch.outbox, ...outbox].slice(0, OUTBOX_MESSAGES_MAX);
        await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
      }
    }
  };

  return {
    add(message) {
      if (closed) return;
      if (message.kind !== 'outbox') states.set(`${message.node} ${message.kind}`, message);
      else if (outbox.length < OUTBOX_MESSAGES_MAX) outbox.push(message);
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
