/** The table of schedules, as controller/database.ts takes it in. */
import type { Migration } from 'kysely/migration';

export interface ScheduleTables {
  schedules: {
    name: string;
    /** JSON: ScheduleSpec. */
    spec: string;
    changed_at: number;
    next_at: number | null;
    last_at: number | null;
    last_task: string | null;
    problem: string | null;
  };
}

export const scheduleMigrations: Record<string, Migration> = {
  '020-schedules': {
    async up(database) {
      await database.schema
        .createTable('schedules')
        .addColumn('name', 'text', (column) => column.primaryKey())
        .addColumn('spec', 'text', (column) => column.notNull())
        .addColumn('changed_at', 'bigint', (column) => column.notNull())
        .addColumn('next_at', 'bigint')
        .addColumn('last_at', 'bigint')
        .addColumn('last_task', 'text')
        .addColumn('problem', 'text')
        .execute();
    },
  },
};
