/** Tasks in the database, as functions over a database or a transaction. */
import type { UnitFence } from '../../runtime/protocol/tasks.ts';
import type { Database, Tables } from '../controller/database.ts';
import type { Changes, Snapshot } from './book.ts';
import type { Task, TaskState } from './task.ts';
import { taskOf as taskOfUnit, type Unit, type UnitState, unitId } from './unit.ts';

const FENCE = 'task fence';
/** Rows in one statement: SQLite takes 32,766 parameters, and a unit has eleven. */
const ROWS_MAX = 500;
const LIST_MAX = 1_000;
/** Of PostgreSQL's integer. */
const INDEX_MAX = 2 ** 31 - 1;

export type UnitCounts = Readonly<Partial<Record<UnitState, number>>>;

/** Runs inside the caller's transaction. @param owner which controller's tasks they are, where there are several */
export async function saveChanges(
  database: Database,
  { tasks, units, results, fence }: Changes,
  owner: string | null,
): Promise<void> {
  for (const rows of slices(tasks.map((task) => ({ ...taskRow(task), owner })))) {
    const { numInsertedOrUpdatedRows } = await database
      .insertInto('tasks')
      .values(rows)
      .onConflict((conflict) =>
        conflict
          .column('id')
          .doUpdateSet(({ ref }) => ({
            state: ref('excluded.state'),
            cancelled: ref('excluded.cancelled'),
            ended_at: ref('excluded.ended_at'),
            units_ended: ref('excluded.units_ended'),
          }))
          .where('tasks.owner', 'is not distinct from', owner),
      )
      .executeTakeFirstOrThrow();
    // Given to two controllers in the same moment: one of them has it.
    if (Number(numInsertedOrUpdatedRows) < rows.length) throw new Error('another controller has a task of the same id');
  }
  for (const rows of slices(units.map(unitRow)))
    await database
      .insertInto('task_units')
      .values(rows)
      .onConflict((conflict) =>
        conflict.columns(['task', 'idx']).doUpdateSet(({ ref }) => ({
          state: ref('excluded.state'),
          attempts: ref('excluded.attempts'),
          fence: ref('excluded.fence'),
          node: ref('excluded.node'),
          retry_at: ref('excluded.retry_at'),
          avoid: ref('excluded.avoid'),
          stopping: ref('excluded.stopping'),
          error: ref('excluded.error'),
        })),
      )
      .execute();
  for (const rows of slices(
    results.map(({ task, index, results }) => ({ task, idx: index, results: JSON.stringify(results) })),
  ))
    await database.insertInto('task_results').values(rows).execute();
  if (fence === undefined) return;
  await database
    .insertInto('counters')
    .values({ name: FENCE, value: fence })
    .onConflict((conflict) => conflict.column('name').doUpdateSet({ value: fence }))
    .execute();
}

/** Those of one controller, where there are several. */
export async function readActive(database: Database, owner: string | null): Promise<Snapshot> {
  const own = database.selectFrom('tasks').where('state', '=', 'active').where('owner', 'is not distinct from', owner);
  const tasks = await own.selectAll().execute();
  const units = await database
    .selectFrom('task_units')
    .selectAll()
    .where('task', 'in', own.select('id'))
    .orderBy('task')
    .orderBy('idx')
    .execute();
  const counter = await database.selectFrom('counters').select('value').where('name', '=', FENCE).executeTakeFirst();
  return { tasks: tasks.map(taskOf), units: units.map(unitOf), fence: Number(counter?.value ?? 0) };
}

/** The newest ones. */
export async function readTasks(database: Database, state?: TaskState): Promise<Task[]> {
  let query = database.selectFrom('tasks').selectAll().orderBy('added_at', 'desc').orderBy('id').limit(LIST_MAX);
  if (state !== undefined) query = query.where('state', '=', state);
  return (await query.execute()).map(taskOf);
}

export async function readTask(database: Database, id: string): Promise<Task | undefined> {
  const row = await database.selectFrom('tasks').selectAll().where('id', '=', id).executeTakeFirst();
  return row && taskOf(row);
}

/** Of these units: those whose task has ended, each with the last fence under which it was given, where it is still on record. */
export async function endedOf<Told extends UnitFence>(database: Database, units: readonly Told[]): Promise<Told[]> {
  const tasks = [...new Set(units.map(({ unit }) => taskOfUnit(unit)))];
  // A node may say anything; and PostgreSQL takes no empty list.
  const named = units.map(({ unit }) => Number(unit.slice(unit.lastIndexOf('.') + 1)));
  const places = new Set([0, ...named.filter((place) => Number.isInteger(place) && Math.abs(place) <= INDEX_MAX)]);
  const rows = await database
    .selectFrom('task_units')
    .innerJoin('tasks', 'tasks.id', 'task_units.task')
    .select(['task', 'idx', 'fence', 'tasks.state as state'])
    .where('task', 'in', tasks)
    .where('idx', 'in', [...places])
    .execute();
  const known = new Map(rows.map(({ task, idx, ...row }) => [unitId({ task, index: idx }), row]));
  return units.flatMap((told) => {
    const row = known.get(told.unit);
    if (row?.state === 'active') return [];
    return [{ ...told, fence: Math.max(told.fence, Number(row?.fence ?? 0)) }];
  });
}

export async function countUnits(database: Database, task: string): Promise<UnitCounts> {
  const rows = await database
    .selectFrom('task_units')
    .select(({ fn }) => ['state', fn.countAll().as('count')])
    .where('task', '=', task)
    .groupBy('state')
    .execute();
  return Object.fromEntries(rows.map(({ state, count }) => [state, Number(count)]));
}

/** So many, in their order: those of which something went wrong before others, since a task may have a hundred thousand. */
export async function readUnits(database: Database, task: string, most: number): Promise<Unit[]> {
  const rows = await database
    .selectFrom('task_units')
    .selectAll()
    .where('task', '=', task)
    .orderBy(({ eb }) => eb.case().when('error', 'is', null).then(1).else(0).end())
    .orderBy('idx')
    .limit(most)
    .execute();
  return rows.map(unitOf).sort((a, b) => a.index - b.index);
}

/** Nodes that alone may do a unit which waits. */
export async function readAwaited(database: Database, task: string): Promise<string[]> {
  const rows = await database
    .selectFrom('task_units')
    .select('pinned')
    .where('task', '=', task)
    .where('state', '=', 'queued')
    .orderBy('idx')
    .where('pinned', 'is not', null)
    .execute();
  return rows.flatMap(({ pinned }) => pinned ?? []);
}

/** By the unit's index. */
export async function readResults(database: Database, task: string): Promise<Map<number, unknown[]>> {
  const rows = await database.selectFrom('task_results').selectAll().where('task', '=', task).execute();
  return new Map(rows.map(({ idx, results }) => [idx, JSON.parse(results)]));
}

/** Forgets tasks that ended before the time; resolves with their number. Runs inside the caller's transaction. */
export async function forgetEnded(database: Database, before: number): Promise<number> {
  const old = database.selectFrom('tasks').select('id').where('state', '!=', 'active').where('ended_at', '<', before);
  await database.deleteFrom('task_results').where('task', 'in', old).execute();
  await database.deleteFrom('task_units').where('task', 'in', old).execute();
  const { numDeletedRows } = await database
    .deleteFrom('tasks')
    .where('state', '!=', 'active')
    .where('ended_at', '<', before)
    .executeTakeFirst();
  return Number(numDeletedRows);
}

function taskRow({
  id,
  spec,
  state,
  cancelled,
  addedAt,
  deadlineAt,
  endedAt,
  units,
  unitsEnded,
}: Task): Omit<Tables['tasks'], 'owner'> {
  const times = { added_at: addedAt, deadline_at: deadlineAt, ended_at: endedAt };
  return {
    id,
    spec: JSON.stringify(spec),
    state,
    cancelled: cancelled ? 1 : 0,
    ...times,
    units,
    units_ended: unitsEnded,
  };
}

function taskOf(row: Tables['tasks']): Task {
  return {
    id: row.id,
    spec: JSON.parse(row.spec),
    state: row.state as TaskState,
    cancelled: row.cancelled === 1,
    addedAt: Number(row.added_at),
    deadlineAt: Number(row.deadline_at),
    endedAt: row.ended_at === null ? null : Number(row.ended_at),
    units: row.units,
    unitsEnded: row.units_ended,
  };
}

function unitRow({ index, retryAt, avoid, ...unit }: Unit): Tables['task_units'] {
  return { ...unit, idx: index, retry_at: retryAt, avoid: JSON.stringify(avoid) };
}

function unitOf({ idx, retry_at, avoid, fence, ...row }: Tables['task_units']): Unit {
  const counts = { index: idx, retryAt: Number(retry_at), fence: Number(fence), avoid: JSON.parse(avoid) };
  return { ...row, ...counts } as Unit;
}

function* slices<T>(rows: readonly T[]): Generator<T[]> {
  for (let start = 0; start < rows.length; start += ROWS_MAX) yield rows.slice(start, start + ROWS_MAX);
}
