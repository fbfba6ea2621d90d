/**
 * Every query of the controller, as functions over a database or a transaction. What comes from outside was checked before it
 * was stored, so rows are taken at their word.
 */
import type { ModelDescription } from '../../runtime/onnx/describe.ts';
import type { DesiredState } from '../../runtime/protocol/messages.ts';
import type { Trigger } from '../../runtime/triggers/schema.ts';
import { readSchedules } from '../tasks/schedule-store.ts';
import type { TaskSpec } from '../tasks/task.ts';
import type { Database, Tables } from './database.ts';
import type { NodeRecord } from './registry.ts';
import type { NodeSelector } from './service.ts';
import { readSoftware, softwareBlobs } from './software-store.ts';

/** SQLite takes 32,766 parameters in one statement; beyond this many names all rows are read. */
const PARAMETERS_MAX = 1_000;

export interface StoredNode extends NodeRecord {
  readonly desired: DesiredState | null;
}

export interface StoredModel {
  readonly name: string;
  readonly version: number;
  readonly sha256: string;
  readonly bytes: number;
  readonly addedAt: number;
  readonly description: ModelDescription;
  readonly labelCount: number;
  readonly labelsSha256: string | null;
  /** Of the list of its chunks; null where it is one chunk, and for versions that were added before there were lists. */
  readonly chunksSha256: string | null;
}

export interface StoredTrigger {
  readonly trigger: Trigger;
  readonly selector: NodeSelector;
  readonly revision: number;
  /** Where the controller has put it, when the choice is the controller's. */
  readonly placement?: StoredPlacement;
}

export interface StoredPlacement {
  readonly nodes: readonly string[];
  readonly reason: string;
  readonly decidedAt: number;
}

export async function readNodes(database: Database, names?: readonly string[]): Promise<StoredNode[]> {
  let query = database.selectFrom('nodes').selectAll().orderBy('name');
  if (names && names.length <= PARAMETERS_MAX) query = query.where('name', 'in', names);
  const asked = names && new Set(names);
  const rows = (await query.execute()).filter(({ name }) => asked?.has(name) ?? true);
  return rows.map((row) => ({
    name: row.name,
    reported: row.reported === null ? null : JSON.parse(row.reported),
    lastSeenAt: Number(row.last_seen_at),
    desired: row.desired === null ? null : JSON.parse(row.desired),
  }));
}

export async function countNodes(database: Database): Promise<number> {
  const row = await database.selectFrom('nodes').select(database.fn.countAll().as('count')).executeTakeFirstOrThrow();
  return Number(row.count);
}

export async function saveNode(database: Database, { name, reported, lastSeenAt }: NodeRecord): Promise<void> {
  const values = { reported: reported && JSON.stringify(reported), last_seen_at: lastSeenAt };
  await database
    .insertInto('nodes')
    .values({ name, ...values, desired_version: 0, desired: null })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}

export async function saveDesired(database: Database, node: string, desired: DesiredState): Promise<void> {
  await database
    .updateTable('nodes')
    .set({ desired: JSON.stringify(desired), desired_version: desired.version })
    .where('name', '=', node)
    .execute();
}

/** All versions of all models, or of one, newest first. */
export async function readModels(database: Database, name?: string): Promise<StoredModel[]> {
  let query = database.selectFrom('models').selectAll().orderBy('name').orderBy('version', 'desc');
  if (name !== undefined) query = query.where('name', '=', name);
  return (await query.execute()).map(modelOf);
}

function modelOf(row: Tables['models']): StoredModel {
  return {
    name: row.name,
    version: row.version,
    sha256: row.sha256,
    bytes: Number(row.bytes),
    addedAt: Number(row.added_at),
    description: JSON.parse(row.description),
    labelCount: row.label_count,
    labelsSha256: row.labels_sha256,
    chunksSha256: row.chunks_sha256,
  };
}

/** Of models in the order of `readModels`: the newest version of each. */
export function newest(models: readonly StoredModel[]): StoredModel[] {
  return models.filter((model, index) => models[index - 1]?.name !== model.name);
}

/** The version of each model that nodes get. @param releases by model, where that is not the newest */
export function released(models: readonly StoredModel[], releases: ReadonlyMap<string, number>): StoredModel[] {
  return newest(models).map((one) => {
    const version = releases.get(one.name);
    return models.find((model) => model.name === one.name && model.version === version) ?? one;
  });
}

export async function insertModel(database: Database, model: StoredModel): Promise<void> {
  await database
    .insertInto('models')
    .values({
      name: model.name,
      version: model.version,
      sha256: model.sha256,
      bytes: model.bytes,
      added_at: model.addedAt,
      description: JSON.stringify(model.description),
      label_count: model.labelCount,
      labels_sha256: model.labelsSha256,
      chunks_sha256: model.chunksSha256,
    })
    .execute();
}

export async function deleteModel(database: Database, name: string): Promise<void> {
  await database.deleteFrom('models').where('name', '=', name).execute();
  await database.deleteFrom('model_releases').where('model', '=', name).execute();
}

export async function readTriggers(database: Database): Promise<StoredTrigger[]> {
  const rows = await database.selectFrom('triggers').selectAll().orderBy('name').execute();
  const placed = await database.selectFrom('placements').selectAll().execute();
  const placements = new Map(
    placed.map(({ trigger, nodes, reason, decided_at }): [string, StoredPlacement] => [
      trigger,
      { nodes: JSON.parse(nodes), reason, decidedAt: Number(decided_at) },
    ]),
  );
  return rows.map((row) => {
    const placement = placements.get(row.name);
    const stored = { trigger: JSON.parse(row.definition), selector: JSON.parse(row.selector), revision: row.revision };
    return placement ? { ...stored, placement } : stored;
  });
}

export async function savePlacement(database: Database, trigger: string, placement: StoredPlacement): Promise<void> {
  const { nodes, reason, decidedAt } = placement;
  const values = { nodes: JSON.stringify(nodes), reason, decided_at: decidedAt };
  await database
    .insertInto('placements')
    .values({ trigger, ...values })
    .onConflict((conflict) => conflict.column('trigger').doUpdateSet(values))
    .execute();
}

export async function deletePlacement(database: Database, trigger: string): Promise<void> {
  await database.deleteFrom('placements').where('trigger', '=', trigger).execute();
}

export async function saveTrigger(database: Database, stored: StoredTrigger, now: number): Promise<void> {
  const values = {
    revision: stored.revision,
    definition: JSON.stringify(stored.trigger),
    selector: JSON.stringify(stored.selector),
    changed_at: now,
  };
  await database
    .insertInto('triggers')
    .values({ name: stored.trigger.name, ...values })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
    .execute();
}

/** False when there was none of that name. */
export async function deleteTrigger(database: Database, name: string): Promise<boolean> {
  const { numDeletedRows } = await database.deleteFrom('triggers').where('name', '=', name).executeTakeFirst();
  return numDeletedRows > 0n;
}

/** Hashes of all blobs that the database names. */
export async function referencedBlobs(database: Database): Promise<Set<string>> {
  const rows = await database.selectFrom('models').select(['sha256', 'labels_sha256', 'chunks_sha256']).execute();
  const software = (await readSoftware(database)).flatMap(softwareBlobs);
  const tasks = await database.selectFrom('tasks').select('spec').where('state', '=', 'active').execute();
  const schedules = await readSchedules(database);
  const works = [
    ...tasks.map(({ spec }) => (JSON.parse(spec) as TaskSpec).work),
    ...schedules.map(({ spec }) => spec.task.work),
  ];
  const inputs = works.flatMap((work) => (work.kind === 'inference' ? work.inputs : []));
  return new Set([
    ...software,
    ...rows.flatMap((row) => [row.sha256, row.labels_sha256 ?? [], row.chunks_sha256 ?? []].flat()),
    ...inputs.flatMap((input) => ('sha256' in input ? [input.sha256] : [])),
  ]);
}
