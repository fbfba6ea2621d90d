/** The tests of rollouts once more, with the state in Debian's PostgreSQL. */
import { againOnPostgres } from '../postgres.ts';

await againOnPostgres('rollouts', () => import('./end-to-end.test.ts'));
