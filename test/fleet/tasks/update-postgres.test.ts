/** The tests of updates once more, with the state in Debian's PostgreSQL. */
import { againOnPostgres } from '../postgres.ts';

await againOnPostgres('updates', () => import('./update.test.ts'));
