/** Named settings in the database, as functions over it or a transaction. */
import type { Database } from './database.ts';
import type { AssignedSettings } from './settings-merge.ts';

export async function readSettings(database: Database): Promise<AssignedSettings[]> {
  const rows = await database.selectFrom('settings').selectAll().orderBy('name').execute();
  return rows.map(({ name, document }) => ({ name, ...JSON.parse(document) }));
}

export async function saveSettings(database: Database, settings: AssignedSettings, now: number): Promise<void> {
  const { name, ...document } = settings;
  const values = { document: JSON.stringify(document), changed_at: now };
  await database
    .insertInto('settings')
    .values({ name, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}

/** False when there were none of that name. */
export async function deleteSettings(database: Database, name: string): Promise<boolean> {
  const { numDeletedRows } = await database.deleteFrom('settings').where('name', '=', name).executeTakeFirst();
  return numDeletedRows > 0n;
}
