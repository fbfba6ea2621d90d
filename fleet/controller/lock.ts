/**
 * One controller a data folder. The lock is SQLite's own on a small file beside the data: the system releases it with the
 * process, however that ends, so no stale lock has to be judged.
 */
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';

const SQLITE_BUSY = 5;

/** Returns the function that gives the folder free. Throws while another controller holds it, in this process or another. */
export function lockFolder(folder: string): () => void {
  const file = new DatabaseSync(join(folder, 'controller.lock'));
  try {
    file.exec('PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE');
    return () => file.close();
  } catch (cause) {
    file.close();
    if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw cause;
    throw new LockedError(
      `${folder}: another controller works with this folder; stop it, or choose another with --data`,
      {
        cause,
      },
    );
  }
}

export class LockedError extends Error {}
