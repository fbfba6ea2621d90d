/**
 * At-least-once delivery through one small database file: incoming.ts and outgoing.ts decide, this commits for both.
 * All that has gathered for a moment is one transaction, one fsync.
 */
import { inboxSchema, openInbox } from '../store/inbox.ts';
import { openOutbox, outboxSchema, outboxStreams } from '../store/outbox.ts';
import { openDatabase, transaction } from '../store/state.ts';
import { createIncoming, type Incoming, type IncomingMessage } from './incoming.ts';
import { Outgoing } from './outgoing.ts';

const COMMIT_MS = 20;
const RETRY_MS = 1_000;
const INBOX = { itemsMax: 10_000, bytesMax: 64 * 2 ** 20 };
const OUTBOX = { itemsMax: 100_000, bytesMax: 128 * 2 ** 20 };
/** Both with room for the index and for pages that are half full. */
const FILE_BYTES_MAX = 256 * 2 ** 20;

export interface DeliveryOptions {
  readonly file: string;
  readonly handle: (message: IncomingMessage, answered: () => void) => void;
  /** The disk refuses (`error`) or takes again (`undefined`). */
  readonly onDisk: (error: Error | undefined) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly fileBytesMax?: number;
}

export interface Delivery {
  readonly incoming: Incoming;
  readonly outgoing: Outgoing;
  /** Messages that wait for the broker, on disk and in memory. */
  readonly outboxItems: number;
  /** Writes what waits and closes the file. */
  close(): void;
}

/** Throws when the file cannot be opened. */
export function openDelivery({ file, handle, onDisk, now, fileBytesMax = FILE_BYTES_MAX }: DeliveryOptions): Delivery {
  const database = openDatabase(file, [outboxSchema, inboxSchema, outboxStreams], { bytesMax: fileBytesMax });
  const outbox = openOutbox(database, OUTBOX, now);
  const inbox = openInbox(database, INBOX);
  let timer: NodeJS.Timeout | undefined;
  let broken = false;
  let closed = false;

  const commit = (): void => {
    timer = undefined;
    const lookAgain = incoming.look();
    if (incoming.hasWork || outgoing.hasWork) write();
    if (lookAgain) schedule();
  };
  const write = (): void => {
    try {
      // Removing first and on its own frees the room that a full file needs for what comes after.
      transaction(database, () => {
        outgoing.removeConfirmed();
        incoming.removeAnswered();
      });
      transaction(database, () => {
        outgoing.write();
        incoming.write();
      });
    } catch (error) {
      outbox.recount();
      inbox.recount();
      if (!broken) onDisk(error as Error);
      broken = true;
      incoming.failed();
      outgoing.failed();
      schedule();
      return;
    }
    if (broken) onDisk(undefined);
    broken = false;
    incoming.written();
    outgoing.written();
  };
  const schedule = (): void => {
    if (!closed) timer ??= setTimeout(commit, broken ? RETRY_MS : COMMIT_MS);
  };
  const outgoing = new Outgoing(outbox, schedule);
  const incoming = createIncoming(inbox, handle, schedule);

  return {
    incoming,
    outgoing,
    get outboxItems() {
      return outbox.items + outgoing.waiting;
    },
    close() {
      clearTimeout(timer);
      closed = true;
      commit();
      database.close();
    },
  };
}
