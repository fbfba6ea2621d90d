/**
 * Versions of the node's program on its disk. A version appears under its name only when it is whole, checked and on the disk (made aside,
 * fsync, rename, fsync of the folder), like a blob; its files are links to blobs, so that what two versions share is there once.
 *
 *   {folder}/blobs/           files by content, and downloads that can be taken up again
 *   {folder}/{sha256}/        a version, named by its list of files
 *   {folder}/{sha256}.part/   one that is being made; swept away with the next
 */
import { readFileSync, rmSync } from 'node:fs';
import { copyFile, link, mkdir, open, readdir, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type SoftwareManifest, softwareManifestSchema } from '../protocol/software.ts';
import { type Blobs, openBlobs, syncFolder } from './blobs.ts';
import { sha256Of } from './manifest.ts';

const VERSION = /^[0-9a-f]{64}$/;

/** What would fail again in the same way. */
export class UnfitSoftware extends Error {}

export interface SoftwareStore {
  /** Fetches what is missing and makes the version; durable when it resolves. Those that are neither it nor `kept` are removed first. */
  install(wanted: Installation, signal: AbortSignal): Promise<void>;
}

export interface Installation {
  /** Base URL of blobs. */
  readonly files: string;
  readonly version: string;
  readonly sha256: string;
  readonly bytes: number | undefined;
  /** Of this machine, such as 24.3.0. */
  readonly nodeVersion: string;
  readonly kept: readonly string[];
}

export async function openSoftwareStore(folder: string): Promise<SoftwareStore> {
  const blobs = await openBlobs(join(folder, 'blobs'));
  const has = async (sha256: string): Promise<boolean> => (await readdir(folder)).includes(sha256);
  return {
    async install({ files, version, sha256, bytes, nodeVersion, kept }, signal) {
      if (await has(sha256)) return;
      await removeOthers(folder, blobs, [...kept, sha256]);
      await blobs.download(files, { sha256, bytes }, signal);
      const manifest = parseManifest(await blobs.read(sha256), version);
      checkNode(manifest, nodeVersion);
      for (const file of manifest.files) await blobs.download(files, file, signal);
      await make(folder, sha256, manifest, blobs);
    },
  };
}

async function removeOthers(folder: string, blobs: Blobs, versions: readonly string[]): Promise<void> {
  const kept = new Set(versions);
  for (const name of await readdir(folder)) {
    const isOther = VERSION.test(name) && !kept.has(name);
    if (isOther || name.endsWith('.part')) await rm(join(folder, name), { recursive: true, force: true });
  }
  for (const sha256 of versions) {
    // One that is not there yet has no files there either.
    const list = await blobs.read(sha256).catch(() => undefined);
    const manifest = list && softwareManifestSchema.safeParse(JSON.parse(new TextDecoder().decode(list))).data;
    for (const file of manifest?.files ?? []) kept.add(file.sha256);
  }
  const { present, partial } = await blobs.list();
  for (const sha256 of [...present, ...partial]) if (!kept.has(sha256)) await blobs.remove(sha256);
}

function parseManifest(content: Uint8Array, version: string): SoftwareManifest {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(content));
  } catch (cause) {
    throw new UnfitSoftware(`software ${version}: expected its list of files as JSON, got something else`, { cause });
  }
  const { data, error } = softwareManifestSchema.safeParse(value);
  if (data) return data;
  const [issue] = error.issues;
  throw new UnfitSoftware(`software ${version}: ${issue?.path.join('.') || 'its list of files'}: ${issue?.message}`);
}

function checkNode({ version, node }: SoftwareManifest, present: string): void {
  const [wanted, has] = [node, present].map((text) => text.split('.').map(Number)) as [number[], number[]];
  const at = wanted.findIndex((part, index) => part !== has[index]);
  if (at >= 0 && (wanted[at] as number) > (has[at] ?? 0))
    throw new UnfitSoftware(`software ${version}: expected Node.js ${node} or newer, this machine has ${present}`);
}

async function make(folder: string, sha256: string, { files }: SoftwareManifest, blobs: Blobs): Promise<void> {
  const part = join(folder, `${sha256}.part`);
  await rm(part, { recursive: true, force: true });
  const folders = new Set([part]);
  for (const { path, sha256: content } of files) {
    const target = join(part, path);
    for (let at = dirname(target); !folders.has(at); at = dirname(at)) folders.add(at);
    await mkdir(dirname(target), { recursive: true });
    // Checked once more, whole: it may have lain on the disk for long. A file system without links gets a copy.
    const source = await blobs.checkedPath(content);
    await link(source, target).catch(() => copyDurably(source, target));
  }
  for (const each of folders) await syncFolder(each);
  await rename(part, join(folder, sha256));
  await syncFolder(folder);
}

async function copyDurably(source: string, target: string): Promise<void> {
  await copyFile(source, target);
  const handle = await open(target, 'r+');
  await handle.sync().finally(() => handle.close());
}

/** The path of what the version starts with, once all its files are found to be as they should be. Throws an Error that names one that is not. */
export function checkedMain(folder: string, sha256: string): string {
  const list = readFileSync(join(folder, 'blobs', sha256));
  if (sha256Of(list) !== sha256) throw new Error(`software ${sha256}: its list of files is damaged on the disk`);
  const { main, files } = softwareManifestSchema.parse(JSON.parse(list.toString()));
  for (const file of files)
    if (sha256Of(readFileSync(join(folder, sha256, file.path))) !== file.sha256)
      throw new Error(`software ${sha256}: ${file.path} is damaged on the disk`);
  return join(folder, sha256, main);
}

export function removeVersion(folder: string, sha256: string): void {
  rmSync(join(folder, sha256), { recursive: true, force: true });
}
