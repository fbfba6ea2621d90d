/** The tests of tasks once more, with the state in Debian's PostgreSQL. */
import { againOnPostgres } from '../postgres.ts';

await againOnPostgres('tasks', () => import('./tasks.test.ts'));
