/**
 * The journal of messages that were acknowledged to the broker before they were answered. What is in it at the start was
 * cut short by a crash and is handled again. Bounded: `add` says no when it is full, and then the message is simply not
 * acknowledged until it is answered, so that the broker holds back the next ones.
 * Like the outbox it leaves transactions to the caller.
 */
import type { DatabaseSync } from 'node:sqlite';

export const inboxSchema = `CREATE TABLE inbox (
  id INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, payload BLOB NOT NULL, receivedAt REAL NOT NULL
) STRICT`;

export interface InboxMessage {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
}

export interface Inbox {
  readonly items: number;
  /** The id under which it was kept, or undefined when the inbox is full. */
  add(message: InboxMessage): number | undefined;
  remove(id: number): void;
  /** Everything in it, oldest first. */
  all(): (InboxMessage & { readonly id: number })[];
  recount(): void;
}

export function openInbox(database: DatabaseSync, limits: { itemsMax: number; bytesMax: number }): Inbox {
  const insert = database.prepare('INSERT INTO inbox (topic, payload, receivedAt) VALUES (?, ?, ?)');
  const remove = database.prepare('DELETE FROM inbox WHERE id = ? RETURNING length(payload) AS bytes');
  const all = database.prepare('SELECT * FROM inbox ORDER BY id');
  const totals = database.prepare('SELECT count(*) AS items, coalesce(sum(length(payload)), 0) AS bytes FROM inbox');
  let items = 0;
  let bytes = 0;
  const recount = (): void => {
    const row = totals.get();
    items = Number(row?.items);
    bytes = Number(row?.bytes);
  };
  recount();
  return {
    get items() {
      return items;
    },
    add({ topic, payload, receivedAt }) {
      if (items + 1 > limits.itemsMax || bytes + payload.byteLength > limits.bytesMax) return undefined;
      const { lastInsertRowid } = insert.run(topic, payload, receivedAt);
      items++;
      bytes += payload.byteLength;
      return Number(lastInsertRowid);
    },
    remove(id) {
      const row = remove.get(id);
      if (!row) return;
      items--;
      bytes -= Number(row.bytes);
    },
    all: () =>
      all.all().map((row) => ({
        id: Number(row.id),
        topic: String(row.topic),
        payload: row.payload as Uint8Array,
        receivedAt: Number(row.receivedAt),
      })),
    recount,
  };
}
