/** The tests of tasks once more, with the state in Debian's PostgreSQL. */
import { test } from 'uvu';
import { hasPostgres, startPostgres, wherePostgres } from '../postgres.ts';

if (hasPostgres) {
  process.env.LLMASOS_TEST_POSTGRES = await startPostgres();
  await import('./tasks.test.ts');
} else {
  wherePostgres(test)('tasks on PostgreSQL', () => {});
  test.run();
}
