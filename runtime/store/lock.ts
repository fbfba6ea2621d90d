/**
 * One owner a data folder. The lock is SQLite's own on a small file beside the data: the system gives it back with the
 * process, however that ends, so no stale lock has to be judged.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

/** Returns the release. Throws an Error while another `owner` (a noun) holds the folder, in this process or another. */
export function lockFolder(folder: string, owner: string): () => void {
  const file = new DatabaseSync(join(folder, `${owner}.lock`), { timeout: 0 });
  try {
    file.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
    return () => file.close();
  } catch (cause) {
    file.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw cause;
    throw new Error(
      `data folder ${folder}: another ${owner} works with it; stop that one, or choose another folder with --data`,
      { cause },
    );
  }
}
