/** The tests of the controller once more, with the state in Debian's PostgreSQL. */
import { test } from 'uvu';
import { hasPostgres, startPostgres, wherePostgres } from '../postgres.ts';

if (hasPostgres) {
  process.env.LLMASOS_TEST_POSTGRES = await startPostgres();
  await import('./controller.test.ts');
} else {
  wherePostgres(test)('the controller on PostgreSQL', () => {});
  test.run();
}
