/**
 * The controller's state: the truth that the broker's retained messages are made from. SQLite through Kysely, or PostgreSQL in its
 * place (postgres-io.ts) without another query: JSON is kept as text, times as milliseconds.
 */
import { DatabaseSync } from 'node:sqlite';
import { type Dialect, Kysely, type SqliteDatabase, SqliteDialect } from 'kysely';
import { type Migration, Migrator } from 'kysely/migration';
import { type RolloutTables, rolloutMigrations } from '../rollouts/tables.ts';
import { type ScheduleTables, scheduleMigrations } from '../tasks/schedule-tables.ts';

export interface Tables extends RolloutTables, ScheduleTables {
  nodes: {
    name: string;
    /** JSON: ReportedState, the last one that the node sent. */
    reported: string | null;
    last_seen_at: number;
    desired_version: number;
    /** JSON: DesiredState as it was published last; null until there was something to say. */
    desired: string | null;
  };
  models: {
    name: string;
    version: number;
    sha256: string;
    bytes: number;
    added_at: number;
    /** JSON: ModelDescription, read from the file. */
    description: string;
    label_count: number;
    /** Blob that holds the labels, a JSON array of strings. */
    labels_sha256: string | null;
    /** Blob that lists its chunks (runtime/store/manifest.ts). */
    chunks_sha256: string | null;
  };
  /** Nodes that the controller chose for triggers which leave the choice to it. */
  placements: {
    trigger: string;
    /** JSON: names. */
    nodes: string;
    reason: string;
    decided_at: number;
  };
  triggers: {
    name: string;
    revision: number;
    /** JSON: Trigger. */
    definition: string;
    /** JSON: NodeSelector. */
    selector: string;
    changed_at: number;
  };
  settings: {
    name: string;
    /** JSON: AssignedSettings, without the name. */
    document: string;
    changed_at: number;
  };
  software: {
    version: string;
    /** Of the blob that lists its files. */
    sha256: string;
    bytes: number;
    /** JSON: SoftwareManifest. */
    manifest: string;
    added_at: number;
    released: number;
  };
  /** What tasks have brought to single nodes. */
  software_nodes: {
    node: string;
    version: string;
  };
  tasks: {
    id: string;
    /** JSON: TaskSpec. */
    spec: string;
    state: string;
    cancelled: number;
    added_at: number;
    deadline_at: number;
    ended_at: number | null;
    units: number;
    units_ended: number;
    /** The controller that has it, where there are several (membership-io.ts). */
    owner: string | null;
  };
  task_units: {
    task: string;
    idx: number;
    state: string;
    attempts: number;
    fence: number;
    node: string | null;
    pinned: string | null;
    retry_at: number;
    /** JSON: names of nodes. */
    avoid: string;
    stopping: string | null;
    error: string | null;
  };
  task_results: {
    task: string;
    idx: number;
    /** JSON: one result an input of the unit. */
    results: string;
  };
  counters: {
    name: string;
    value: number;
  };
}

export type Database = Kysely<Tables>;

/** Throws an Error when the file cannot be opened. */
export function sqliteDialect(file: string): Dialect {
  return new SqliteDialect({ database: openSqlite(file) });
}

/** Brings the schema up to date. Throws when a later version of the program wrote it. `place`: what a person calls it. */
export async function openDatabase(dialect: Dialect, place: string): Promise<Database> {
  const database = new Kysely<Tables>({ dialect });
  const migrator = new Migrator({
    db: database,
    provider: { getMigrations: async () => ({ ...migrations, ...rolloutMigrations, ...scheduleMigrations }) },
  });
  const { error } = await migrator.migrateToLatest();
  if (error === undefined) return database;
  await database.destroy();
  const reason = error instanceof Error ? error.message : String(error);
  throw new Error(
    `${place}: its tables cannot be brought up to date (${reason}); if a later version of the program wrote it, install that one again`,
    { cause: error },
  );
}

/** The part of better-sqlite3's interface that Kysely's SQLite dialect asks for, over node:sqlite. */
function openSqlite(file: string): SqliteDatabase {
  try {
    const sqlite = new DatabaseSync(file);
    // FULL: a commit is on the disk when it returns, also after a power cut (sqlite.org/pragma.html#pragma_synchronous).
    sqlite.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON');
    return {
      prepare(sql) {
        const statement = sqlite.prepare(sql);
        return {
          reader: statement.columns().length > 0,
          all: (parameters) => statement.all(...(parameters as string[])),
          run(parameters) {
            // SQLite has rolled back by itself after some errors (a full disk), and a second time would hide the first error.
            if (sql === 'rollback' && !sqlite.isTransaction) return { changes: 0, lastInsertRowid: 0 };
            return statement.run(...(parameters as string[]));
          },
          iterate: (parameters) => statement.iterate(...(parameters as string[])),
        };
      },
      close: () => sqlite.close(),
    };
  } catch (cause) {
    throw new Error(`${file}: cannot be opened as a database: ${(cause as Error).message}`, { cause });
  }
}

/** Applied in the order of their names, each in a transaction. A step that was released is never changed. */
const migrations: Record<string, Migration> = {
  '001-fleet': {
    async up(database) {
      await database.schema
        .createTable('nodes')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('reported', 'text')
        .addColumn('last_seen_at', 'bigint', (column) => column.notNull())
        .addColumn('desired_version', 'bigint', (column) => column.notNull())
        .addColumn('desired', 'text')
        .execute();
      await database.schema
        .createTable('models')
        .addColumn('name', 'text', (column) => column.notNull())
        .addColumn('version', 'integer', (column) => column.notNull())
        .addColumn('sha256', 'text', (column) => column.notNull())
        .addColumn('bytes', 'bigint', (column) => column.notNull())
        .addColumn('added_at', 'bigint', (column) => column.notNull())
        .addColumn('description', 'text', (column) => column.notNull())
        .addColumn('label_count', 'integer', (column) => column.notNull())
        .addColumn('labels_sha256', 'text')
        .addPrimaryKeyConstraint('models_key', ['name', 'version'])
        .execute();
      await database.schema
        .createTable('triggers')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('revision', 'integer', (column) => column.notNull())
        .addColumn('definition', 'text', (column) => column.notNull())
        .addColumn('selector', 'text', (column) => column.notNull())
        .addColumn('changed_at', 'bigint', (column) => column.notNull())
        .execute();
    },
  },
  '002-tasks': {
    async up(database) {
      await database.schema
        .createTable('tasks')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('spec', 'text', (column) => column.notNull())
        .addColumn('state', 'text', (column) => column.notNull())
        .addColumn('cancelled', 'integer', (column) => column.notNull())
        .addColumn('added_at', 'bigint', (column) => column.notNull())
        .addColumn('deadline_at', 'bigint', (column) => column.notNull())
        .addColumn('ended_at', 'bigint')
        .addColumn('units', 'integer', (column) => column.notNull())
        .addColumn('units_ended', 'integer', (column) => column.notNull())
        .execute();
      await database.schema.createIndex('tasks_by_state').on('tasks').columns(['state', 'added_at']).execute();
      await database.schema
        .createTable('task_units')
        .addColumn('task', 'text', (column) => column.notNull())
        .addColumn('idx', 'integer', (column) => column.notNull())
        .addColumn('state', 'text', (column) => column.notNull())
        .addColumn('attempts', 'integer', (column) => column.notNull())
        .addColumn('fence', 'bigint', (column) => column.notNull())
        .addColumn('node', 'text')
        .addColumn('pinned', 'text')
        .addColumn('retry_at', 'bigint', (column) => column.notNull())
        .addColumn('avoid', 'text', (column) => column.notNull())
        .addColumn('stopping', 'text')
        .addColumn('error', 'text')
        .addPrimaryKeyConstraint('task_units_key', ['task', 'idx'])
        .execute();
      await database.schema
        .createTable('task_results')
        .addColumn('task', 'text', (column) => column.notNull())
        .addColumn('idx', 'integer', (column) => column.notNull())
        .addColumn('results', 'text', (column) => column.notNull())
        .addPrimaryKeyConstraint('task_results_key', ['task', 'idx'])
        .execute();
      await database.schema
        .createTable('counters')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('value', 'bigint', (column) => column.notNull())
        .execute();
    },
  },
  '003-placements': {
    async up(database) {
      await database.schema
        .createTable('placements')
        .addColumn('trigger', 'text', (column) => column.primaryKey())
        .addColumn('nodes', 'text', (column) => column.notNull())
        .addColumn('reason', 'text', (column) => column.notNull())
        .addColumn('decided_at', 'bigint', (column) => column.notNull())
        .execute();
    },
  },
  '040-settings': {
    async up(database) {
      await database.schema
        .createTable('settings')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('document', 'text', (column) => column.notNull())
        .addColumn('changed_at', 'bigint', (column) => column.notNull())
        .execute();
    },
  },
  '041-software': {
    async up(database) {
      await database.schema
        .createTable('software')
        .addColumn('version', 'text', (column) => column.primaryKey())
        .addColumn('sha256', 'text', (column) => column.notNull())
        .addColumn('bytes', 'integer', (column) => column.notNull())
        .addColumn('manifest', 'text', (column) => column.notNull())
        .addColumn('added_at', 'bigint', (column) => column.notNull())
        .addColumn('released', 'integer', (column) => column.notNull())
        .execute();
      await database.schema
        .createTable('software_nodes')
        .addColumn('node', 'text', (column) => column.primaryKey())
        .addColumn('version', 'text', (column) => column.notNull())
        .execute();
    },
  },
  '050-task-owners': {
    async up(database) {
      await database.schema.alterTable('tasks').addColumn('owner', 'text').execute();
    },
  },
  '030-chunks': {
    async up(database) {
      await database.schema.alterTable('models').addColumn('chunks_sha256', 'text').execute();
    },
  },
};
