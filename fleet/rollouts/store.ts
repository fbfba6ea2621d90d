/** Rollouts and released versions in the database, as functions over a database or a transaction. */
import type { Database, Tables } from '../controller/database.ts';
import { isSame } from './progress.ts';
import { isActive, type Rollout, type RolloutNode, type RolloutState, type Step } from './rollout.ts';

const ACTIVE: readonly RolloutState[] = ['running', 'paused', 'stopping'];
const LIST_MAX = 1_000;
/** Rows in one statement: SQLite takes 32,766 parameters, and a row has six. */
const ROWS_MAX = 500;
/** Beyond so many names all rows are read. */
const NAMES_MAX = 1_000;

export async function readRollouts(database: Database): Promise<Rollout[]> {
  const rows = await database
    .selectFrom('rollouts')
    .selectAll()
    .orderBy('started_at', 'desc')
    .limit(LIST_MAX)
    .execute();
  return rows.map(rolloutOf);
}

export async function readActiveRollouts(database: Database): Promise<Rollout[]> {
  const rows = await database.selectFrom('rollouts').selectAll().where('state', 'in', ACTIVE).orderBy('id').execute();
  return rows.map(rolloutOf);
}

export async function readRollout(database: Database, id: string): Promise<Rollout | undefined> {
  const row = await database.selectFrom('rollouts').selectAll().where('id', '=', id).executeTakeFirst();
  return row && rolloutOf(row);
}

/** Of one rollout: all its nodes, or those named. */
export async function readRolloutNodes(
  database: Database,
  rollout: string,
  names?: readonly string[],
): Promise<RolloutNode[]> {
  let query = database.selectFrom('rollout_nodes').selectAll().where('rollout', '=', rollout);
  if (names && names.length <= NAMES_MAX) query = query.where('node', 'in', names);
  return (await query.orderBy('phase').orderBy('node').execute()).map(nodeOf);
}

/** Writes what has changed from one step to the next; all of it where there was none. */
export async function saveStep(database: Database, before: Step | undefined, { rollout, nodes }: Step): Promise<void> {
  const row = {
    state: rollout.state,
    document: JSON.stringify(rollout),
    started_at: rollout.startedAt,
    ended_at: rollout.endedAt,
  };
  if (before?.rollout !== rollout)
    await database
      .insertInto('rollouts')
      .values({ id: rollout.id, ...row })
      .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
      .execute();
  const known = new Map(before?.nodes.map((node) => [node.node, node]));
  const changed = nodes.filter((node) => !isSame(known.get(node.node), node)).map((node) => rowOf(rollout.id, node));
  for (let start = 0; start < changed.length; start += ROWS_MAX)
    await database
      .insertInto('rollout_nodes')
      .values(changed.slice(start, start + ROWS_MAX))
      .onConflict((conflict) =>
        conflict.columns(['rollout', 'node']).doUpdateSet(({ ref }) => ({
          execution: ref('excluded.execution'),
          finished: ref('excluded.finished'),
          details: ref('excluded.details'),
        })),
      )
      .execute();
}

/** Throws while a rollout of the same model or trigger is active: it would lose track of what nodes had before. */
export async function refuseWhileRolledOut(
  database: Database,
  wanted: { kind: 'model'; model: string } | { kind: 'trigger'; trigger: { name: string } } | { kind: 'software' },
): Promise<void> {
  const nameOf = (target: typeof wanted): string =>
    target.kind === 'software' ? 'of nodes' : target.kind === 'model' ? target.model : target.trigger.name;
  const other = (await readActiveRollouts(database)).find(
    ({ spec: { target } }) => target.kind === wanted.kind && nameOf(target) === nameOf(wanted),
  );
  if (other)
    throw new Error(
      `${wanted.kind} "${nameOf(wanted)}" is being rolled out by "${other.id}"; wait for its end, or abort it first`,
    );
}

/** Versions that nodes get, of the models for which it is not simply the newest. */
export async function readReleases(database: Database): Promise<Map<string, number>> {
  const rows = await database.selectFrom('model_releases').selectAll().execute();
  return new Map(rows.map(({ model, version }) => [model, version]));
}

/** @param version undefined: whichever is the newest */
export async function saveRelease(database: Database, model: string, version: number | undefined): Promise<void> {
  if (version === undefined) await database.deleteFrom('model_releases').where('model', '=', model).execute();
  else
    await database
      .insertInto('model_releases')
      .values({ model, version })
      .onConflict((conflict) => conflict.column('model').doUpdateSet({ version }))
      .execute();
}

/** Forgets those that ended before the time. Runs inside the caller's transaction. */
export async function forgetEndedRollouts(database: Database, before: number): Promise<void> {
  const old = (await readRollouts(database)).filter(
    (rollout) => !isActive(rollout) && rollout.endedAt !== null && rollout.endedAt < before,
  );
  for (const { id } of old) {
    await database.deleteFrom('rollout_nodes').where('rollout', '=', id).execute();
    await database.deleteFrom('rollouts').where('id', '=', id).execute();
  }
}

function rolloutOf({ document }: Tables['rollouts']): Rollout {
  return JSON.parse(document);
}

function nodeOf({ node, phase, execution, finished, details }: Tables['rollout_nodes']): RolloutNode {
  return { node, phase, execution, finished, details } as RolloutNode;
}

function rowOf(rollout: string, { node, phase, execution, finished, details }: RolloutNode): Tables['rollout_nodes'] {
  return { rollout, node, phase, execution, finished, details };
}
