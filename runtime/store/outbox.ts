/**
 * The durable queue of messages that could not be delivered yet. An item leaves only when the caller says that its receiver
 * has it (`remove`), so a message is delivered at least once. Bounded: when it is full, the oldest item of the same
 * stream (topic) makes room, so that one chatty stream cannot push out the others; only when its stream has none, the oldest of all.
 *
 * `add` and `remove` open no transaction of their own: the caller groups them (runtime/store/state.ts, `transaction`),
 * because one commit, that is one fsync, for many items is what makes it fast.
 */
import type { DatabaseSync } from 'node:sqlite';

export const outboxSchema = `CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, retain INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_topic ON outbox (topic, id)`;

export interface OutboxLimits {
  readonly itemsMax: number;
  readonly bytesMax: number;
}

export interface OutboxItem {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
}

export interface StoredItem extends OutboxItem {
  /** Grows with every item. */
  readonly id: number;
}

export interface Outbox {
  readonly items: number;
  readonly bytes: number;
  /** Items that had to make room, since this was opened. */
  readonly dropped: number;
  /** Whether items of this topic are waiting; what comes later must queue behind them. */
  has(topic: string): boolean;
  add(item: OutboxItem): void;
  /** Up to `limit` items after `afterId`, oldest first. */
  next(afterId: number, limit: number): StoredItem[];
  remove(id: number): void;
  /** Counts anew; call it after a transaction was rolled back. */
  recount(): void;
}

const sizeOf = (topic: string, payloadBytes: number): number => topic.length + payloadBytes;

export function openOutbox(database: DatabaseSync, limits: OutboxLimits): Outbox {
  const insert = database.prepare('INSERT INTO outbox (topic, payload, retain) VALUES (?, ?, ?)');
  const remove = database.prepare('DELETE FROM outbox WHERE id = ? RETURNING topic, length(payload) AS bytes');
  const select = database.prepare('SELECT * FROM outbox WHERE id > ? ORDER BY id LIMIT ?');
  const oldestOf = database.prepare('SELECT id FROM outbox WHERE topic = ? ORDER BY id LIMIT 1');
  const oldest = database.prepare('SELECT id FROM outbox ORDER BY id LIMIT 1');
  const perTopic = database.prepare(
    'SELECT topic, count(*) AS items, sum(length(payload)) AS bytes FROM outbox GROUP BY topic',
  );
  const topics = new Map<string, number>();
  let items = 0;
  let bytes = 0;
  let dropped = 0;

  const count = (topic: string, payloadBytes: number, sign: 1 | -1): void => {
    const left = (topics.get(topic) ?? 0) + sign;
    if (left > 0) topics.set(topic, left);
    else topics.delete(topic);
    items += sign;
    bytes += sign * sizeOf(topic, payloadBytes);
  };
  const take = (id: number): void => {
    const row = remove.get(id);
    if (row) count(String(row.topic), Number(row.bytes), -1);
  };
  const recount = (): void => {
    topics.clear();
    items = 0;
    bytes = 0;
    for (const row of perTopic.all()) {
      const topic = String(row.topic);
      topics.set(topic, Number(row.items));
      items += Number(row.items);
      bytes += Number(row.items) * topic.length + Number(row.bytes);
    }
  };
  recount();

  return {
    get items() {
      return items;
    },
    get bytes() {
      return bytes;
    },
    get dropped() {
      return dropped;
    },
    has: (topic) => topics.has(topic),
    add({ topic, payload, retain }) {
      const size = sizeOf(topic, payload.byteLength);
      if (size > limits.bytesMax)
        throw new Error(`outbox: a message to ${topic} has ${size} bytes, at most ${limits.bytesMax} fit`);
      while (items > 0 && (items + 1 > limits.itemsMax || bytes + size > limits.bytesMax)) {
        take(Number((oldestOf.get(topic) ?? oldest.get())?.id));
        dropped++;
      }
      insert.run(topic, payload, retain ? 1 : 0);
      count(topic, payload.byteLength, 1);
    },
    next: (afterId, limit) =>
      select.all(afterId, limit).map((row) => ({
        id: Number(row.id),
        topic: String(row.topic),
        payload: row.payload as Uint8Array,
        retain: row.retain === 1,
      })),
    remove: take,
    recount,
  };
}
