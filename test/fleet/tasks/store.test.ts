/** What is read of a task's units in order to show it. */
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDatabase, sqliteDialect } from '../../../fleet/controller/database.ts';
import { countUnits, readAwaited, readUnits, saveChanges } from '../../../fleet/tasks/store.ts';
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

test.run();
