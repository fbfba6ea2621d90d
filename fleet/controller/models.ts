/** The model registry: versions of files by content, each checked before it is taken in. */
import { encodeManifest } from '../../runtime/store/manifest.ts';
import { modelsOf } from '../../runtime/triggers/schema.ts';
import { readReleases, refuseWhileRolledOut, saveRelease } from '../rollouts/store.ts';
import type { BlobStore } from './blob-store.ts';
import type { Database } from './database.ts';
import { once } from './inputs.ts';
import { encodeLabels, inspectModel, MODEL_BYTES_MAX } from './model-file.ts';
import type { ModelView } from './service.ts';
import { deleteModel, insertModel, readModels, readTriggers, referencedBlobs, type StoredModel } from './store.ts';

/** @param models newest first */
export async function modelViews(database: Database, models: readonly StoredModel[]): Promise<ModelView[]> {
  const [triggers, releases] = [await readTriggers(database), await readReleases(database)];
  return models.map((model) => {
    const { name, version, sha256, bytes, addedAt, labelCount } = model;
    const { inputs, outputs, opset, operators, producer } = model.description;
    const newest = models.find((one) => one.name === name)?.version ?? version;
    const users = triggers.filter(({ trigger }) => modelsOf(trigger).includes(name));
    return {
      ...{ name, version, released: releases.get(name) ?? newest, sha256, bytes, addedAt },
      ...{ inputs, outputs, opset, operators, producer, labelCount },
      usedBy: users.map(({ trigger }) => trigger.name),
    };
  });
}

export interface NewModel {
  readonly name: string;
  readonly sha256: string;
  readonly labels?: readonly string[] | undefined;
  /** Nodes keep the version that they have. */
  readonly registerOnly: boolean;
}

interface ModelPorts {
  readonly database: Database;
  readonly blobs: BlobStore;
  readonly now: number;
  /** Commits the work with what follows from it. */
  change(work: (transaction: Database) => Promise<void>): Promise<void>;
}

/**
 * Takes an uploaded blob in as the next version, and releases it. The newest version's content again (and the same labels,
 * or none) is that version; an earlier one's content is a new version. A blob that is refused is removed.
 */
export async function addModel(ports: ModelPorts, added: NewModel): Promise<ModelView> {
  const { database, change } = ports;
  const { name, registerOnly } = added;
  const [before] = await modelViews(database, await readModels(database, name));
  const release = async (transaction: Database): Promise<void> => {
    if (!registerOnly) await refuseWhileRolledOut(transaction, { kind: 'model', model: name });
    await saveRelease(transaction, name, registerOnly ? before?.released : undefined);
  };
  const { version } = await takeIn(ports, added, (model) =>
    change(async (transaction) => {
      await insertModel(transaction, model);
      await release(transaction);
    }),
  );
  // The newest one again, which was only registered before.
  if (before?.version === version && before.released !== version && !registerOnly) await change(release);
  const views = await modelViews(database, await readModels(database, name));
  return views.find((model) => model.version === version) as ModelView;
}

/** `store` runs the insertion and what must be committed with it. */
async function takeIn(
  { database, blobs, now }: ModelPorts,
  { name, sha256, labels }: NewModel,
  store: (model: StoredModel) => Promise<void>,
): Promise<StoredModel> {
  const size = await blobs.size(sha256);
  if (size === undefined)
    throw new Error(`model "${name}": blob ${sha256} is not here; upload it first, with PUT /v1/blobs/${sha256}`);
  if (size > MODEL_BYTES_MAX)
    throw new Error(`model "${name}": expected at most ${MODEL_BYTES_MAX} bytes, got ${size}`);
  const encoded = labels && encodeLabels(name, labels);
  const newest = (await readModels(database, name))[0];
  const labelsSha256 = encoded ? (await blobs.put(once(encoded))).sha256 : null;
  if (newest?.sha256 === sha256 && (labels === undefined || newest.labelsSha256 === labelsSha256)) return newest;
  const bytes = await blobs.read(sha256);
  let model: StoredModel;
  try {
    const description = inspectModel(name, bytes);
    const version = (newest?.version ?? 0) + 1;
    const labelCount = labels?.length ?? 0;
    const manifest = encodeManifest(bytes);
    const chunksSha256 = manifest ? (await blobs.put(once(manifest))).sha256 : null;
    const hashes = { sha256, labelsSha256, chunksSha256 };
    model = { name, version, ...hashes, bytes: bytes.byteLength, addedAt: now, description, labelCount };
  } catch (error) {
    await removeUnreferenced(database, blobs, [sha256, ...(labelsSha256 ? [labelsSha256] : [])]);
    throw error;
  }
  await store(model);
  return model;
}

/** Refuses while a trigger names the model. Runs inside the caller's transaction. */
export async function removeModel(database: Database, name: string): Promise<void> {
  const versions = await readModels(database, name);
  if (versions.length === 0) throw await unknownModel(database, name);
  await refuseWhileRolledOut(database, { kind: 'model', model: name });
  const users = (await readTriggers(database)).filter(({ trigger }) => modelsOf(trigger).includes(name));
  if (users.length > 0)
    throw new Error(
      `model "${name}" is used by ${users.map(({ trigger }) => `"${trigger.name}"`).join(', ')}; remove or change ${users.length === 1 ? 'this trigger' : 'these triggers'} first`,
    );
  await deleteModel(database, name);
}

export async function unknownModel(database: Database, name: string): Promise<Error> {
  const names = [...new Set((await readModels(database)).map((model) => model.name))];
  const there = names.length === 0 ? 'there are none yet' : `there are ${names.join(', ')}`;
  return new Error(`there is no model "${name}"; ${there}`);
}

/** Resolves with the number of files removed. */
export async function removeUnreferenced(
  database: Database,
  blobs: BlobStore,
  hashes: readonly string[],
): Promise<number> {
  const kept = await referencedBlobs(database);
  const unnamed = hashes.filter((sha256) => !kept.has(sha256));
  for (const sha256 of unnamed) await blobs.remove(sha256);
  return unnamed.length;
}
