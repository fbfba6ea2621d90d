/** Versions of the node's program in the database, and which of them nodes are to run. Functions over it or a transaction. */
import type { Software, SoftwareManifest } from '../../runtime/protocol/software.ts';
import { BUILT_IN } from '../../runtime/protocol/software.ts';
import type { Database, Tables } from './database.ts';

export interface StoredSoftware {
  readonly manifest: SoftwareManifest;
  /** Of the manifest as a blob, and its length. */
  readonly sha256: string;
  readonly bytes: number;
  readonly addedAt: number;
  /** Nodes get it that nothing else is said of. */
  readonly released: boolean;
}

export interface SoftwareAssignment {
  /** What nodes get; undefined while there is no version of anything: then they are left as they are. */
  readonly released: Software | undefined;
  /** By node: what a task brought it. */
  readonly byNode: ReadonlyMap<string, Software>;
  readonly versions: ReadonlyMap<string, Software>;
}

/** Newest first. */
export async function readSoftware(database: Database): Promise<StoredSoftware[]> {
  const rows = await database.selectFrom('software').selectAll().orderBy('added_at', 'desc').execute();
  return rows.map((row: Tables['software']) => ({
    manifest: JSON.parse(row.manifest),
    sha256: row.sha256,
    bytes: row.bytes,
    addedAt: Number(row.added_at),
    released: row.released === 1,
  }));
}

export async function readSoftwareAssignment(database: Database): Promise<SoftwareAssignment> {
  const all = await readSoftware(database);
  const versions = new Map(all.map((one) => [one.manifest.version, asSoftware(one)]));
  const rows = await database.selectFrom('software_nodes').selectAll().execute();
  const byNode = rows.flatMap(({ node, version }): [string, Software][] => {
    const software = versions.get(version);
    return software ? [[node, software]] : [];
  });
  const released = all.find((one) => one.released);
  const usual = released ? asSoftware(released) : all.length > 0 ? BUILT_IN : undefined;
  return { released: usual, byNode: new Map(byNode), versions };
}

function asSoftware({ manifest: { version }, sha256, bytes }: StoredSoftware): Software {
  return { version, sha256, bytes };
}

export async function insertSoftware(database: Database, software: StoredSoftware): Promise<void> {
  const { manifest, sha256, bytes, addedAt, released } = software;
  await database
    .insertInto('software')
    .values({
      ...{ version: manifest.version, sha256, bytes, manifest: JSON.stringify(manifest) },
      ...{ added_at: addedAt, released: released ? 1 : 0 },
    })
    .execute();
}

export async function deleteSoftware(database: Database, version: string): Promise<void> {
  await database.deleteFrom('software').where('version', '=', version).execute();
}

/** From now on every node gets it, also those that a task gave another one. */
export async function releaseSoftware(database: Database, version: string): Promise<void> {
  await database.updateTable('software').set({ released: 0 }).execute();
  await database.updateTable('software').set({ released: 1 }).where('version', '=', version).execute();
  await database.deleteFrom('software_nodes').execute();
}

/** These nodes get it, whatever the others have. */
export async function giveSoftware(database: Database, nodes: readonly string[], version: string): Promise<void> {
  for (const node of nodes)
    await database
      .insertInto('software_nodes')
      .values({ node, version })
      .onConflict((conflict) => conflict.column('node').doUpdateSet({ version }))
      .execute();
}

export function softwareBlobs({ manifest, sha256 }: StoredSoftware): string[] {
  return [sha256, ...manifest.files.flatMap((file) => [file.sha256, ...(file.chunks ? [file.chunks] : [])])];
}
