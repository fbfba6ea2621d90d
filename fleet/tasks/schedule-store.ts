/** Schedules in the database, as functions over a database or a transaction. */
import type { Database } from '../controller/database.ts';
import type { Schedule } from './schedule.ts';
import type { ScheduleTables } from './schedule-tables.ts';

/** In the order of their names. */
export async function readSchedules(database: Database): Promise<Schedule[]> {
  return (await database.selectFrom('schedules').selectAll().orderBy('name').execute()).map(scheduleOf);
}

export async function saveSchedule(database: Database, schedule: Schedule): Promise<void> {
  const row = rowOf(schedule);
  await database
    .insertInto('schedules')
    .values(row)
    .onConflict((conflict) => conflict.column('name').doUpdateSet(row))
    .execute();
}

/** Writes what has become of it, unless it was changed or removed meanwhile. */
export async function updateSchedule(database: Database, schedule: Schedule): Promise<void> {
  const { name, changed_at, ...rest } = rowOf(schedule);
  await database
    .updateTable('schedules')
    .set(rest)
    .where('name', '=', name)
    .where('changed_at', '=', changed_at)
    .execute();
}

/** False when there is none of that name. */
export async function deleteSchedule(database: Database, name: string): Promise<boolean> {
  const { numDeletedRows } = await database.deleteFrom('schedules').where('name', '=', name).executeTakeFirst();
  return numDeletedRows > 0n;
}

function rowOf({ spec, changedAt, nextAt, lastAt, lastTask, problem }: Schedule): ScheduleTables['schedules'] {
  const times = { changed_at: changedAt, next_at: nextAt, last_at: lastAt };
  return { name: spec.name, spec: JSON.stringify(spec), ...times, last_task: lastTask, problem };
}

function scheduleOf(row: ScheduleTables['schedules']): Schedule {
  return {
    spec: JSON.parse(row.spec),
    changedAt: Number(row.changed_at),
    nextAt: row.next_at === null ? null : Number(row.next_at),
    lastAt: row.last_at === null ? null : Number(row.last_at),
    lastTask: row.last_task,
    problem: row.problem,
  };
}
