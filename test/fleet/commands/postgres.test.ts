/** The tests of commands once more, with the state in Debian's PostgreSQL. */
import { againOnPostgres } from '../postgres.ts';

await againOnPostgres('commands', () => import('./commands.test.ts'));
