/**
 * Small durable state on node:sqlite: WAL with `synchronous=FULL`, so that what a call has written is there after kill -9
 * and after a power cut (findings in docs; SQLite's own word: https://www.sqlite.org/pragma.html#pragma_synchronous).
 */
import { DatabaseSync } from 'node:sqlite';

export interface DatabaseOptions {
  /** Largest size of the file. Keep it under the disk's size: on a disk that is really full even DELETE fails. */
  readonly bytesMax?: number;
}

const PAGE_BYTES = 4096;

/**
 * Opens or creates a database whose schema is the given list of steps; `PRAGMA user_version` counts those done.
 * Throws when the file is not a database, or was written by a later version of the program.
 */
export function openDatabase(file: string, steps: readonly string[], options: DatabaseOptions = {}): DatabaseSync {
  let database: DatabaseSync | undefined;
  try {
    database = new DatabaseSync(file);
    database.exec(`PRAGMA page_size = ${PAGE_BYTES}; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;`);
    if (options.bytesMax) database.exec(`PRAGMA max_page_count = ${Math.ceil(options.bytesMax / PAGE_BYTES)}`);
    migrate(database, steps);
    return database;
  } catch (cause) {
    database?.close();
    throw new Error(`${file}: cannot be opened as a database: ${(cause as Error).message}`, { cause });
  }
}

function migrate(database: DatabaseSync, steps: readonly string[]): void {
  const done = Number(database.prepare('PRAGMA user_version').get()?.user_version);
  if (done > steps.length)
    throw new Error(`expected schema version ${steps.length} or older, got ${done}; install the newer program again`);
  for (const [index, step] of steps.slice(done).entries())
    transaction(database, () => {
      database.exec(step);
      database.exec(`PRAGMA user_version = ${done + index + 1}`);
    });
}

/** Runs `work` as one commit: all of it is on the disk when this returns, none of it when it throws. */
export function transaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    // SQLite has already rolled back by itself after some errors (a full disk, for one).
    if (database.isTransaction) database.exec('ROLLBACK');
    throw error;
  }
}

/** JSON documents by key. */
export interface State {
  get(key: string): unknown;
  /** On the disk when it returns. */
  set(key: string, value: unknown): void;
  delete(key: string): void;
  close(): void;
}

export function openState(file: string): State {
  const database = openDatabase(file, ['CREATE TABLE document (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT']);
  const get = database.prepare('SELECT value FROM document WHERE key = ?');
  const set = database.prepare(
    'INSERT INTO document (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value = excluded.value',
  );
  const remove = database.prepare('DELETE FROM document WHERE key = ?');
  return {
    get(key) {
      const row = get.get(key);
      return row === undefined ? undefined : JSON.parse(String(row.value));
    },
    set: (key, value) => void set.run(key, JSON.stringify(value)),
    delete: (key) => void remove.run(key),
    close: () => database.close(),
  };
}
