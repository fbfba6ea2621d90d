/** What is read of a task's units in order to show it. */
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDatabase, sqliteDialect } from '../../../fleet/controller/database.ts';
import { countUnits, endedOf, readAwaited, readUnits, saveChanges } from '../../../fleet/tasks/store.ts';
import { newTask, taskSpecSchema } from '../../../fleet/tasks/task.ts';
import { temporary } from '../fleet-parts.ts';

test('of many units as many are read as are shown, those of which something went wrong before others', async () => {
  const file = join(temporary(), 'controller.sqlite');
  const database = await openDatabase(sqliteDialect(file), file);
  const spec = taskSpecSchema.parse({ work: { kind: 'command', command: 'logs' } });
  const names = Array.from({ length: 3_000 }, (_, index) => `n${index}`);
  const { task, units } = newTask('logs', spec, names, 0);
  const changed = units.map((unit) => {
    if (unit.index === 2_990) return { ...unit, state: 'failed' as const, error: 'no such command' };
    return unit.index < 10 ? unit : { ...unit, state: 'succeeded' as const };
  });
  await saveChanges(database, { tasks: [task], units: changed, results: [], fence: undefined }, null);
  assert.equal(await countUnits(database, 'logs'), { failed: 1, queued: 10, succeeded: 2_989 });
  assert.equal(
    (await readUnits(database, 'logs', 3)).map(({ index }) => index),
    [0, 1, 2_990],
  );
  assert.equal(await readAwaited(database, 'logs'), names.slice(0, 10));
  await database.destroy();
});

test('of units that nodes name, those whose task has ended or is unknown come back, with the last fence on record', async () => {
  const file = join(temporary(), 'controller.sqlite');
  const database = await openDatabase(sqliteDialect(file), file);
  const spec = taskSpecSchema.parse({ work: { kind: 'command', command: 'logs' } });
  for (const [id, state] of [
    ['over', 'succeeded'],
    ['on', 'active'],
  ] as const) {
    const { task, units } = newTask(id, spec, ['a', 'b'], 0);
    const given = units.map((unit) => ({ ...unit, node: unit.pinned, fence: 40 + unit.index }));
    await saveChanges(database, { tasks: [{ ...task, state }], units: given, results: [], fence: undefined }, null);
  }
  const told = ['over.0', 'over.1', 'over.9', 'on.0', 'gone.0', 'nonsense', 'over.99999999999'];
  const ended = await endedOf(
    database,
    told.map((unit) => ({ node: 'a', unit, fence: 7 })),
  );
  assert.equal(
    ended.map(({ unit, fence }) => `${unit} ${fence}`),
    ['over.0 40', 'over.1 41', 'over.9 7', 'gone.0 7', 'nonsense 7', 'over.99999999999 7'],
  );
  await database.destroy();
});

test.run();
