/** The tests of settings once more, with the state in Debian's PostgreSQL. */
import { againOnPostgres } from '../postgres.ts';

await againOnPostgres('settings', () => import('./settings.test.ts'));
