/**
 * Results on their way out. While the broker is there a result is sent at once, without touching the disk; QoS 1 results
 * stay in memory until the broker has confirmed them (PUBACK). When the connection ends, or more than a window is
 * unconfirmed, everything unconfirmed goes to the durable outbox, and from there to the broker again when it is back.
 * Order is kept for each topic: what comes while older messages of its topic wait in the outbox queues behind them.
 *
 * Nothing here writes by itself: `write` runs inside the caller's transaction (delivery.ts), then `written` or `failed`.
 */
import type { Outbox, StoredItem } from '../store/outbox.ts';

const WINDOW = { messages: 1_000, bytes: 16 * 2 ** 20 };
const DRAIN = { messages: 100, bytes: 8 * 2 ** 20, step: 20 };
/** What may wait in memory for a disk that does not take it. */
const MEMORY = { messages: 10_000, bytes: 32 * 2 ** 20 };

export interface OutgoingMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

/** The connection to the broker as seen from here. */
export interface Link {
  /** `confirmed`: at QoS 1 the broker has it (PUBACK), at QoS 0 it was written. Never called after the connection ended. */
  send(message: OutgoingMessage, confirmed: () => void): void;
}

interface Waiting {
  readonly message: OutgoingMessage;
  /** Called once when the broker or the disk has the message. */
  readonly safe: () => void;
}

export interface Outgoing {
  /** Sends or keeps a message; `safe` is called when the broker has confirmed it or it is in the outbox. */
  publish(message: OutgoingMessage, safe: () => void): void;
  connected(link: Link): void;
  disconnected(): void;
  /** Messages not confirmed yet that left the direct way. */
  readonly waiting: number;
  readonly dropped: number;
  readonly hasWork: boolean;
  removeConfirmed(): void;
  write(): void;
  written(): void;
  failed(): void;
}

/** `schedule` asks for a `write` soon. */
export function createOutgoing(outbox: Outbox, schedule: () => void): Outgoing {
  let link: Link | undefined;
  const inFlight = new Map<number, Waiting>();
  let inFlightBytes = 0;
  let sequence = 0;
  let toDisk: Waiting[] = [];
  let toDiskBytes = 0;
  const toDiskTopics = new Map<string, number>();
  let dropped = 0;
  /** Outbox items that were sent and not confirmed, with their sizes. */
  const draining = new Map<number, number>();
  let drainingBytes = 0;
  let cursor = 0;
  let confirmed: number[] = [];

  const keep = (waiting: Waiting): void => {
    const { topic, payload } = waiting.message;
    toDisk.push(waiting);
    toDiskBytes += payload.byteLength;
    toDiskTopics.set(topic, (toDiskTopics.get(topic) ?? 0) + 1);
    while (toDisk.length > MEMORY.messages || (toDiskBytes > MEMORY.bytes && toDisk.length > 1)) dropOldest();
    schedule();
  };
  const dropOldest = (): void => {
    const oldest = toDisk.shift() as Waiting;
    toDiskBytes -= oldest.message.payload.byteLength;
    const left = (toDiskTopics.get(oldest.message.topic) ?? 1) - 1;
    if (left > 0) toDiskTopics.set(oldest.message.topic, left);
    else toDiskTopics.delete(oldest.message.topic);
    dropped++;
    oldest.safe();
  };
  const takeAll = (): Waiting[] => {
    const all = toDisk;
    toDisk = [];
    toDiskBytes = 0;
    toDiskTopics.clear();
    return all;
  };
  /** Everything sent and unconfirmed is older than what waits for the disk, so it goes in front. */
  const spill = (): void => {
    const later = takeAll();
    const earlier = [...inFlight.values()];
    inFlight.clear();
    inFlightBytes = 0;
    for (const waiting of [...earlier, ...later]) keep(waiting);
  };
  const sendNow = (to: Link, waiting: Waiting): void => {
    const bytes = waiting.message.payload.byteLength;
    const id = ++sequence;
    inFlight.set(id, waiting);
    inFlightBytes += bytes;
    to.send(waiting.message, () => {
      if (!inFlight.delete(id)) return;
      inFlightBytes -= bytes;
      waiting.safe();
    });
  };
  const publish = (message: OutgoingMessage, safe: () => void): void => {
    const waiting = { message, safe };
    if (!link || outbox.has(message.topic) || toDiskTopics.has(message.topic)) keep(waiting);
    else if (message.qos === 0) link.send(message, safe);
    else if (inFlight.size < WINDOW.messages && inFlightBytes < WINDOW.bytes) sendNow(link, waiting);
    else {
      spill();
      keep(waiting);
    }
  };
  const resend = (to: Link, item: StoredItem): void => {
    const bytes = item.payload.byteLength;
    draining.set(item.id, bytes);
    drainingBytes += bytes;
    to.send({ ...item, qos: 1 }, () => {
      if (!draining.delete(item.id)) return;
      drainingBytes -= bytes;
      confirmed.push(item.id);
      schedule();
    });
  };
  const drain = (): void => {
    while (link && draining.size < DRAIN.messages && drainingBytes < DRAIN.bytes) {
      const items = outbox.next(cursor, DRAIN.step);
      for (const item of items) {
        cursor = item.id;
        resend(link, item);
      }
      if (items.length < DRAIN.step) return;
    }
  };

  return {
    publish,
    connected(to) {
      link = to;
      drain();
    },
    disconnected() {
      link = undefined;
      draining.clear();
      drainingBytes = 0;
      cursor = 0;
      spill();
    },
    get waiting() {
      return inFlight.size + toDisk.length;
    },
    get dropped() {
      return dropped + outbox.dropped;
    },
    get hasWork() {
      return toDisk.length > 0 || confirmed.length > 0;
    },
    removeConfirmed() {
      for (const id of confirmed) outbox.remove(id);
    },
    write() {
      for (const { message } of toDisk) outbox.add(message);
    },
    written() {
      confirmed = [];
      for (const { safe } of takeAll()) safe();
      drain();
    },
    /** The disk does not take them: as long as the broker is there, it may. */
    failed() {
      if (link) for (const { message, safe } of takeAll()) publish(message, safe);
    },
  };
}
