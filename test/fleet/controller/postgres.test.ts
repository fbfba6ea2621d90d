/** The tests of the controller once more, with the state in Debian's PostgreSQL. */
import { againOnPostgres } from '../postgres.ts';

await againOnPostgres('the controller', () => import('./controller.test.ts'));
