/** The units of tasks that a node holds, on its disk. One call is one commit, one fsync. */
import { openDatabase, transaction } from '../store/state.ts';
import type { HeldUnit, TaskChange } from './tasks.ts';

/** 256 units with inputs and results inline, with room for pages that are half full. */
const FILE_BYTES_MAX = 512 * 2 ** 20;

const schema = `CREATE TABLE unit (id TEXT PRIMARY KEY, document TEXT NOT NULL) STRICT;
CREATE TABLE gone (unit TEXT PRIMARY KEY, fence INTEGER NOT NULL) STRICT;
CREATE TABLE floor (fence INTEGER NOT NULL) STRICT;
INSERT INTO floor VALUES (0)`;

export interface KeptTasks {
  readonly floor: number;
  readonly units: ReadonlyMap<string, HeldUnit>;
  readonly gone: ReadonlyMap<string, number>;
}

export interface TaskStore {
  load(): KeptTasks;
  /** All of it is on the disk when this returns, none of it when it throws. */
  commit(changes: readonly TaskChange[]): void;
  close(): void;
}

/** Throws when the file cannot be opened. */
export function openTaskStore(file: string): TaskStore {
  const database = openDatabase(file, [schema], { bytesMax: FILE_BYTES_MAX });
  const keep = database.prepare(
    'INSERT INTO unit (id, document) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET document = excluded.document',
  );
  const forget = database.prepare('DELETE FROM unit WHERE id = ?');
  const remember = database.prepare(
    'INSERT INTO gone (unit, fence) VALUES (?, ?) ON CONFLICT (unit) DO UPDATE SET fence = excluded.fence',
  );
  const comeBack = database.prepare('DELETE FROM gone WHERE unit = ?');
  const raise = database.prepare('UPDATE floor SET fence = ?');
  const prune = database.prepare('DELETE FROM gone WHERE fence <= ?');
  const apply = (change: TaskChange): void => {
    if (change.type === 'keep') {
      keep.run(change.unit.assignment.unit, JSON.stringify(change.unit));
      comeBack.run(change.unit.assignment.unit);
    } else if (change.type === 'forget') {
      forget.run(change.unit);
      if (change.goneFence !== undefined) remember.run(change.unit, change.goneFence);
    } else {
      raise.run(change.floor);
      prune.run(change.floor);
    }
  };
  return {
    load() {
      const units = database.prepare('SELECT * FROM unit').all();
      const gone = database.prepare('SELECT * FROM gone').all();
      return {
        floor: Number(database.prepare('SELECT fence FROM floor').get()?.fence),
        units: new Map(units.map(({ id, document }) => [String(id), JSON.parse(String(document)) as HeldUnit])),
        gone: new Map(gone.map(({ unit, fence }) => [String(unit), Number(fence)])),
      };
    },
    commit: (changes) => transaction(database, () => changes.forEach(apply)),
    close: () => database.close(),
  };
}
