/**
 * Sensor messages on their way in. QoS 0: handled at once, never written. QoS 1: handled at once too, and acknowledged to
 * the broker as soon as it is answered (its results are confirmed or in the outbox); what takes longer than a moment is
 * journalled in the inbox with everything else that waits (one commit for all) and acknowledged then. So a fast model costs
 * no disk write, a slow one does not hold up the broker, and what was acknowledged survives kill -9: the inbox is replayed.
 * When the inbox is full or the disk refuses, messages simply stay unacknowledged until they are answered.
 *
 * Acknowledgements leave in the order of arrival [MQTT-4.6.0-2].
 */
import type { Inbox, InboxMessage } from '../store/inbox.ts';

export interface IncomingMessage extends InboxMessage {
  readonly qos: 0 | 1;
  /** Sent because we subscribed, not because it was published now [MQTT-3.3.1-8]. */
  readonly retain: boolean;
}

/** One look may come a moment after the message; two are a period apart. */
const LOOKS = 2;

interface Entry {
  readonly message: IncomingMessage;
  readonly acknowledge: () => void;
  answered: boolean;
  /** Looks at it that found it unanswered: from the second on it has waited long enough to be journalled. */
  looks: number;
  inboxId?: number;
  /** Given within a transaction that is not committed yet. */
  pendingId?: number | undefined;
}

export interface Incoming {
  /** `acknowledge` is given at QoS 1 and belongs to the present connection. */
  receive(message: IncomingMessage, acknowledge?: () => void): void;
  /** Handles again what a crash cut short. */
  replay(): void;
  /** The broker will send again what it has no acknowledgement for. */
  disconnected(): void;
  /** Called once a period: what is unanswered for a whole one is to be written. Returns whether a further look is needed. */
  look(): boolean;
  readonly hasWork: boolean;
  removeAnswered(): void;
  write(): void;
  written(): void;
  failed(): void;
}

/** `handle` answers one message and calls `answered` when the results are safe. `schedule` asks for a `write` soon. */
export function createIncoming(
  inbox: Inbox,
  handle: (message: IncomingMessage, answered: () => void) => void,
  schedule: () => void,
): Incoming {
  let unacknowledged: Entry[] = [];
  let answeredIds: number[] = [];

  const flush = (): void => {
    let count = 0;
    for (const entry of unacknowledged) {
      if (isOpen(entry)) break;
      entry.acknowledge();
      count++;
    }
    if (count > 0) unacknowledged.splice(0, count);
  };
  const isOpen = (entry: Entry): boolean => !entry.answered && entry.inboxId === undefined;
  const isDue = (entry: Entry): boolean => isOpen(entry) && entry.looks >= LOOKS;
  const forget = (inboxId: number): void => {
    answeredIds.push(inboxId);
    schedule();
  };

  return {
    receive(message, acknowledge) {
      if (!acknowledge) return handle(message, () => {});
      const entry: Entry = { message, acknowledge, answered: false, looks: 0 };
      unacknowledged.push(entry);
      handle(message, () => {
        entry.answered = true;
        if (entry.inboxId !== undefined) forget(entry.inboxId);
        else flush();
      });
      if (!entry.answered) schedule();
    },
    replay() {
      for (const { id, ...message } of inbox.all()) handle({ ...message, qos: 1, retain: false }, () => forget(id));
    },
    disconnected() {
      unacknowledged = [];
    },
    look() {
      const open = unacknowledged.filter(isOpen);
      for (const entry of open) entry.looks++;
      return open.some((entry) => !isDue(entry));
    },
    get hasWork() {
      return answeredIds.length > 0 || unacknowledged.some(isDue);
    },
    removeAnswered() {
      for (const id of answeredIds) inbox.remove(id);
    },
    write() {
      for (const entry of unacknowledged) if (isDue(entry)) entry.pendingId = inbox.add(entry.message);
    },
    written() {
      answeredIds = [];
      for (const entry of unacknowledged) {
        if (entry.pendingId === undefined) continue;
        entry.inboxId = entry.pendingId;
        entry.pendingId = undefined;
      }
      flush();
    },
    failed() {
      for (const entry of unacknowledged) entry.pendingId = undefined;
    },
  };
}
