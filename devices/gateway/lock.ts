/** One node per data folder. SQLite's file lock is used because the system gives it back when a process dies, however it dies. */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

/** Throws an Error when another node, in this process or another, uses the folder. Returns the release. */
export function lockFolder(folder: string): () => void {
  const database = new DatabaseSync(join(folder, 'lock.db'), { timeout: 0 });
  try {
    database.exec('BEGIN EXCLUSIVE');
  } catch (cause) {
    database.close();
    throw new Error(
      `data folder ${folder}: another node uses it; stop that one, or give this one a folder of its own`,
      { cause },
    );
  }
  return () => database.close();
}
