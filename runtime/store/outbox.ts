/**
 * The durable queue of messages that could not be delivered yet. An item leaves only when the caller says that its receiver
 * has it (`remove`), so a message is delivered at least once. Bounded as a whole, and each stream as it wishes: by bytes, by age, or
 * to the newest message of each topic. Where there is no room, the oldest item of the least urgent stream goes, one of the same topic
 * first, so that one chatty topic cannot push out the others; a message that is less urgent than all that waits does not get in.
 *
 * `add`, `remove` and `expire` open no transaction of their own: the caller groups them (runtime/store/state.ts, `transaction`),
 * because one commit, that is one fsync, for many items is what makes it fast.
 */
import type { DatabaseSync } from 'node:sqlite';

export const outboxSchema = `CREATE TABLE outbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, retain INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_topic ON outbox (topic, id)`;

/** What an outbox of an earlier version holds is of urgency 2, normal. */
export const outboxStreams = `ALTER TABLE outbox ADD COLUMN stream TEXT NOT NULL DEFAULT '';
ALTER TABLE outbox ADD COLUMN urgency INTEGER NOT NULL DEFAULT 2;
ALTER TABLE outbox ADD COLUMN untilMs REAL;
CREATE INDEX outbox_stream ON outbox (stream, id);
CREATE INDEX outbox_urgency ON outbox (urgency DESC, id);
CREATE INDEX outbox_until ON outbox (untilMs) WHERE untilMs IS NOT NULL`;

export interface OutboxLimits {
  readonly itemsMax: number;
  readonly bytesMax: number;
}

/** Messages of one origin, and what may wait of them. */
export interface Stream {
  readonly name: string;
  /** 0 is the most urgent. */
  readonly urgency: number;
  /** Of topics and payloads. */
  readonly bytesMax?: number | undefined;
  /** By the clock of the machine, which runs on while it is off. */
  readonly ageMsMax?: number | undefined;
  /** A message takes the place of those before it on its topic. */
  readonly newestOnly?: boolean | undefined;
}

export interface OutboxItem {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly retain: boolean;
  readonly stream: Stream;
}

export interface StoredItem extends Omit<OutboxItem, 'stream'> {
  /** Grows with every item. */
  readonly id: number;
}

export interface Outbox {
  readonly items: number;
  readonly bytes: number;
  /** Items that had to make room, found none or became too old, since this was opened. */
  readonly dropped: number;
  /** Whether items of this topic are waiting; what comes later must queue behind them. */
  has(topic: string): boolean;
  /** Throws an Error for an item that is larger than the whole outbox. */
  add(item: OutboxItem): void;
  /** Removes what has become too old. Once before a batch of `add` is enough: the older ones then do not push out what is worth more. */
  expire(): void;
  /** Up to `limit` items after `afterId`, oldest first. */
  next(afterId: number, limit: number): StoredItem[];
  remove(id: number): void;
  /** Counts anew; call it after a transaction was rolled back. */
  recount(): void;
}

const sizeOf = (topic: string, payloadBytes: number): number => topic.length + payloadBytes;

/** @param now milliseconds since the epoch */
export function openOutbox(database: DatabaseSync, limits: OutboxLimits, now: () => number): Outbox {
  const insert = database.prepare(
    'INSERT INTO outbox (topic, payload, retain, stream, urgency, untilMs) VALUES (?, ?, ?, ?, ?, ?)',
  );
  const removed = 'RETURNING topic, stream, length(payload) AS bytes';
  const remove = database.prepare(`DELETE FROM outbox WHERE id = ? ${removed}`);
  const removeOld = database.prepare(`DELETE FROM outbox WHERE untilMs <= ? ${removed}`);
  const removeTopic = database.prepare(`DELETE FROM outbox WHERE topic = ? AND stream = ? ${removed}`);
  const select = database.prepare(
    'SELECT * FROM outbox WHERE id > ? AND (untilMs IS NULL OR untilMs > ?) ORDER BY id LIMIT ?',
  );
  const oldestOfStream = database.prepare('SELECT id FROM outbox WHERE stream = ? ORDER BY id LIMIT 1');
  const oldestOfTopic = database.prepare('SELECT id FROM outbox WHERE topic = ? AND urgency = ? ORDER BY id LIMIT 1');
  const leastUrgent = database.prepare('SELECT id, urgency FROM outbox ORDER BY urgency DESC, id LIMIT 1');
  const all = database.prepare('SELECT topic, stream, length(payload) AS bytes FROM outbox');
  /** Items by topic, bytes by stream. */
  const topics = new Map<string, number>();
  const streams = new Map<string, number>();
  let items = 0;
  let bytes = 0;
  let dropped = 0;

  const count = (topic: string, stream: string, payloadBytes: number, sign: 1 | -1): void => {
    const size = sign * sizeOf(topic, payloadBytes);
    add(topics, topic, sign);
    add(streams, stream, size);
    items += sign;
    bytes += size;
  };
  const forget = (rows: readonly Record<string, unknown>[]): number => {
    for (const { topic, stream, bytes } of rows) count(String(topic), String(stream), Number(bytes), -1);
    return rows.length;
  };
  const drop = (row: Record<string, unknown> | undefined): void => {
    dropped += forget(remove.all(Number(row?.id)));
  };
  const recount = (): void => {
    topics.clear();
    streams.clear();
    items = 0;
    bytes = 0;
    for (const row of all.iterate()) count(String(row.topic), String(row.stream), Number(row.bytes), 1);
  };
  /** The item that goes when one of this topic and urgency comes; undefined when all are more urgent. */
  const next = (topic: string, urgency: number): Record<string, unknown> | undefined => {
    const least = leastUrgent.get();
    if (!least || Number(least.urgency) > urgency) return least;
    return Number(least.urgency) === urgency ? (oldestOfTopic.get(topic, urgency) ?? least) : undefined;
  };
  const expire = (): void => {
    dropped += forget(removeOld.all(now()));
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
    add({ topic, payload, retain, stream }) {
      const size = sizeOf(topic, payload.byteLength);
      if (size > limits.bytesMax)
        throw new Error(`outbox: a message to ${topic} has ${size} bytes, at most ${limits.bytesMax} fit`);
      const bytesMax = stream.bytesMax ?? limits.bytesMax;
      if (size > bytesMax) return void dropped++;
      if (stream.newestOnly) forget(removeTopic.all(topic, stream.name));
      while ((streams.get(stream.name) ?? 0) + size > bytesMax) drop(oldestOfStream.get(stream.name));
      while (items + 1 > limits.itemsMax || bytes + size > limits.bytesMax) {
        const victim = next(topic, stream.urgency);
        if (!victim) return void dropped++;
        drop(victim);
      }
      const untilMs = stream.ageMsMax === undefined ? null : now() + stream.ageMsMax;
      insert.run(topic, payload, retain ? 1 : 0, stream.name, stream.urgency, untilMs);
      count(topic, stream.name, payload.byteLength, 1);
    },
    expire,
    next: (afterId, limit) =>
      select.all(afterId, now(), limit).map((row) => ({
        id: Number(row.id),
        topic: String(row.topic),
        payload: row.payload as Uint8Array,
        retain: row.retain === 1,
      })),
    remove: (id) => void forget(remove.all(id)),
    recount,
  };
}

function add(sums: Map<string, number>, key: string, difference: number): void {
  const sum = (sums.get(key) ?? 0) + difference;
  if (sum > 0) sums.set(key, sum);
  else sums.delete(key);
}
