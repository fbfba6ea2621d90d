/**
 * Results on their way out. While the broker is there a result is sent at once, without touching the disk; QoS 1 results
 * stay in memory until the broker has confirmed them (PUBACK). When the connection ends, or more than a window is
 * unconfirmed, everything unconfirmed goes to the durable outbox, and from there to the broker again when it is back.
 * Order is kept for each topic: what comes while older messages of its topic wait in the outbox queues behind them.
 *
 * Nothing here writes by itself: `write` runs inside the caller's transaction (delivery.ts), then `written` or `failed`.
 */
import type { Outbox, StoredItem, Stream } from '../store/outbox.ts';

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

/** An answer, which is kept while it cannot be delivered. */
export interface ResultMessage extends OutgoingMessage {
  readonly stream: Stream;
}

/** The connection to the broker as seen from here. */
export interface Link {
  /** `confirmed`: at QoS 1 the broker has it (PUBACK), at QoS 0 it was written. Never called after the connection ended. */
  send(message: OutgoingMessage, confirmed: () => void): void;
}

interface Waiting {
  readonly message: ResultMessage;
  /** Called once when the broker or the disk has the message. */
  readonly safe: () => void;
}

/** `removeConfirmed` and `write` run inside a transaction, then `written` or `failed`. */
export class Outgoing {
  readonly #outbox: Outbox;
  readonly #schedule: () => void;
  #link: Link | undefined;
  readonly #inFlight = new Map<number, Waiting>();
  #inFlightBytes = 0;
  #sequence = 0;
  #toDisk: Waiting[] = [];
  #toDiskBytes = 0;
  readonly #toDiskTopics = new Map<string, number>();
  #dropped = 0;
  /** Outbox items that were sent and not confirmed, with their sizes. */
  readonly #draining = new Map<number, number>();
  #drainingBytes = 0;
  #cursor = 0;
  #confirmed: number[] = [];

  /** `schedule` asks for a `write` soon. */
  constructor(outbox: Outbox, schedule: () => void) {
    this.#outbox = outbox;
    this.#schedule = schedule;
  }

  /** Sends or keeps a message; `safe` is called once when the broker has confirmed it, it is in the outbox, or was given up. */
  publish = (message: ResultMessage, safe: () => void): void => {
    const waiting = { message, safe };
    const { topic, qos } = message;
    if (!this.#link || this.#outbox.has(topic) || this.#toDiskTopics.has(topic)) this.#keep(waiting);
    else if (qos === 0) this.#link.send(message, safe);
    else if (this.#inFlight.size < WINDOW.messages && this.#inFlightBytes < WINDOW.bytes)
      this.#send(this.#link, waiting);
    else {
      this.#spill();
      this.#keep(waiting);
    }
  };

  connected(link: Link): void {
    this.#link = link;
    this.#drain();
  }

  disconnected(): void {
    this.#link = undefined;
    this.#draining.clear();
    this.#drainingBytes = 0;
    this.#cursor = 0;
    this.#spill();
  }

  /** Messages that are neither confirmed nor on disk. */
  get waiting(): number {
    return this.#inFlight.size + this.#toDisk.length;
  }

  get hasWork(): boolean {
    return this.#toDisk.length > 0 || this.#confirmed.length > 0;
  }

  /** Messages given up because neither broker nor disk took them in time, or their stream did not want more. */
  get dropped(): number {
    return this.#dropped + this.#outbox.dropped;
  }

  removeConfirmed(): void {
    for (const id of this.#confirmed) this.#outbox.remove(id);
    this.#outbox.expire();
  }

  write(): void {
    for (const { message } of this.#toDisk) this.#outbox.add(message);
  }

  written(): void {
    this.#confirmed = [];
    for (const { safe } of this.#takeAll()) safe();
    this.#drain();
  }

  /** The disk does not take them: as long as the broker is there, it may. */
  failed(): void {
    if (this.#link) for (const { message, safe } of this.#takeAll()) this.publish(message, safe);
  }

  #send(link: Link, waiting: Waiting): void {
    const bytes = waiting.message.payload.byteLength;
    const id = ++this.#sequence;
    this.#inFlight.set(id, waiting);
    this.#inFlightBytes += bytes;
    link.send(waiting.message, () => {
      // Spilled meanwhile: then it is the outbox's to confirm.
      if (!this.#inFlight.delete(id)) return;
      this.#inFlightBytes -= bytes;
      waiting.safe();
    });
  }

  #keep(waiting: Waiting): void {
    const { topic, payload } = waiting.message;
    this.#toDisk.push(waiting);
    this.#toDiskBytes += payload.byteLength;
    this.#toDiskTopics.set(topic, (this.#toDiskTopics.get(topic) ?? 0) + 1);
    while (this.#toDisk.length > MEMORY.messages || (this.#toDiskBytes > MEMORY.bytes && this.#toDisk.length > 1))
      this.#dropOldest();
    this.#schedule();
  }

  #dropOldest(): void {
    const { message, safe } = this.#toDisk.shift() as Waiting;
    this.#toDiskBytes -= message.payload.byteLength;
    const left = (this.#toDiskTopics.get(message.topic) ?? 1) - 1;
    if (left > 0) this.#toDiskTopics.set(message.topic, left);
    else this.#toDiskTopics.delete(message.topic);
    this.#dropped++;
    safe();
  }

  #takeAll(): Waiting[] {
    const all = this.#toDisk;
    this.#toDisk = [];
    this.#toDiskBytes = 0;
    this.#toDiskTopics.clear();
    return all;
  }

  /** Everything sent and unconfirmed is older than what waits for the disk, so it goes in front. */
  #spill(): void {
    const later = this.#takeAll();
    const earlier = [...this.#inFlight.values()];
    this.#inFlight.clear();
    this.#inFlightBytes = 0;
    for (const waiting of [...earlier, ...later]) this.#keep(waiting);
  }

  /** Sends what the outbox holds, a window at a time, oldest first. */
  #drain(): void {
    while (this.#link && this.#draining.size < DRAIN.messages && this.#drainingBytes < DRAIN.bytes) {
      const items = this.#outbox.next(this.#cursor, DRAIN.step);
      for (const item of items) {
        this.#cursor = item.id;
        this.#resend(this.#link, item);
      }
      if (items.length < DRAIN.step) return;
    }
  }

  #resend(link: Link, item: StoredItem): void {
    const bytes = item.payload.byteLength;
    this.#draining.set(item.id, bytes);
    this.#drainingBytes += bytes;
    link.send({ ...item, qos: 1 }, () => {
      if (!this.#draining.delete(item.id)) return;
      this.#drainingBytes -= bytes;
      this.#confirmed.push(item.id);
      this.#schedule();
    });
  }
}
