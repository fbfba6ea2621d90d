/** Tables of rollouts, as controller/database.ts takes them in. */
import type { Migration } from 'kysely/migration';

export interface RolloutTables {
  /** The version of a model that nodes get; of a model that is not named here it is the newest. */
  model_releases: {
    model: string;
    version: number;
  };
  rollouts: {
    id: string;
    state: string;
    /** JSON: Rollout. */
    document: string;
    started_at: number;
    ended_at: number | null;
  };
  rollout_nodes: {
    rollout: string;
    node: string;
    phase: number;
    execution: string;
    finished: string;
    details: string | null;
  };
}

export const rolloutMigrations: Record<string, Migration> = {
  '010-rollouts': {
    async up(database) {
      await database.schema
        .createTable('model_releases')
        .addColumn('model', 'text', (column) => column.primaryKey())
        .addColumn('version', 'integer', (column) => column.notNull())
        .execute();
      await database.schema
        .createTable('rollouts')
        .addColumn('id', 'text', (column) => column.primaryKey())
        .addColumn('state', 'text', (column) => column.notNull())
        .addColumn('document', 'text', (column) => column.notNull())
        .addColumn('started_at', 'bigint', (column) => column.notNull())
        .addColumn('ended_at', 'bigint')
        .execute();
      await database.schema
        .createTable('rollout_nodes')
        .addColumn('rollout', 'text', (column) => column.notNull())
        .addColumn('node', 'text', (column) => column.notNull())
        .addColumn('phase', 'integer', (column) => column.notNull())
        .addColumn('execution', 'text', (column) => column.notNull())
        .addColumn('finished', 'text', (column) => column.notNull())
        .addColumn('details', 'text')
        .addPrimaryKeyConstraint('rollout_nodes_key', ['rollout', 'node'])
        .execute();
      await database.schema.createIndex('rollout_nodes_by_node').on('rollout_nodes').column('node').execute();
    },
  },
};
