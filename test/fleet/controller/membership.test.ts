/** Transactions of a controller on Debian's PostgreSQL while another one takes it for dead. */
import { sql } from 'kysely';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openPostgres } from '../../../fleet/controller/postgres-io.ts';
import { testWhere } from '../../requirement.ts';
import { eventually, freshDatabase, refusalOf } from '../fleet-parts.ts';
import { hasPostgres, startPostgres } from '../postgres.ts';

if (hasPostgres) process.env.LLMASOS_TEST_POSTGRES = await startPostgres();
const onPostgres = testWhere(test, hasPostgres, "Debian's package postgresql");

/** Has no tasks to take over. */
const nothing = {
  standing: async () => ({ fence: 0, lowest: 1 }),
  grant() {},
  async readAgain() {},
};

onPostgres(
  'nobody is taken for dead in the midst of a transaction, whether over tasks or over all; later it can have none',
  async () => {
    const { database: url = '' } = await freshDatabase();
    const open = (name: string) => openPostgres(url, { holder: name, url: `http://${name}` }, () => {});
    const [dying, other] = [await open('dying'), await open('other')];
    for (const { membership } of [dying, other]) await membership.join();
    /** Whether another one still finds it after its lease has ended. */
    const outlivesItsLease = () =>
      eventually('a look at a lease that has ended', async () => {
        const { id } = dying.membership;
        await sql`update controllers set until = now() - interval '1 hour' where id = ${id}`.execute(other.database);
        await (await other.membership.share(nothing, () => {}))();
        const { rows } = await sql<{
          ended: boolean;
        }>`select until < now() as ended from controllers where id = ${id}`.execute(other.database);
        // It may have renewed its lease before the look: then once more.
        if (rows[0]?.ended === false) return undefined;
        return rows.length === 1 ? 'yes' : 'no';
      });
    try {
      for (const database of [dying.tasksDatabase, dying.database]) {
        const found = await database.transaction().execute(async (transaction) => {
          // However slow this machine is.
          await sql`set local idle_in_transaction_session_timeout = 0`.execute(transaction);
          return outlivesItsLease();
        });
        assert.is(found, 'yes');
      }
      assert.is(await outlivesItsLease(), 'no');
      for (const database of [dying.tasksDatabase, dying.database])
        assert.match(
          await refusalOf(database.transaction().execute(async () => {})),
          /this controller was taken for dead/,
        );
    } finally {
      for (const { membership, database } of [dying, other]) {
        await membership.leave();
        await database.destroy();
      }
    }
  },
);

test.run();
