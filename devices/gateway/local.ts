/**
 * Models and triggers from the node's own folders, so that it runs without any controller: `{models}/NAME.onnx`, beside it
 * `NAME.labels.txt` with one label a line where there are labels, and `{triggers}/*.yaml`. What cannot be read is named and left out.
 */
import { createReadStream } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { DesiredState } from '../../runtime/protocol/messages.ts';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import type { Blobs } from '../../runtime/store/blobs.ts';
import type { Trigger } from '../../runtime/triggers/schema.ts';

export interface LocalFolders {
  readonly models?: string | undefined;
  readonly triggers?: string | undefined;
}

export type Local = Pick<DesiredState, 'models' | 'triggers'>;

export async function readLocal(folders: LocalFolders, blobs: Blobs, onError: (error: Error) => void): Promise<Local> {
  const models = await each(folders.models, /^(.*)\.onnx$/, onError, (path, name) => readModel(path, name, blobs));
  const triggers = await each(folders.triggers, /^(.*)\.(?:ya?ml|json)$/, onError, readTrigger);
  return { models, triggers };
}

async function each<T>(
  folder: string | undefined,
  pattern: RegExp,
  onError: (error: Error) => void,
  read: (path: string, name: string) => Promise<T>,
): Promise<T[]> {
  if (folder === undefined) return [];
  const names = await readdir(folder).catch((cause: Error) => {
    throw new Error(`folder ${folder}: cannot be read: ${cause.message}`, { cause });
  });
  const found: T[] = [];
  for (const file of names.sort()) {
    const name = pattern.exec(file)?.[1];
    if (name === undefined) continue;
    try {
      found.push(await read(join(folder, file), name));
    } catch (cause) {
      onError(new Error(`${join(folder, file)}: ${(cause as Error).message}`, { cause }));
    }
  }
  return found;
}

async function readModel(path: string, name: string, blobs: Blobs): Promise<Local['models'][number]> {
  if (!nameSchema.safeParse(name).success)
    throw new Error("a model's name has letters, digits, _ and - only, 1 to 64 of them; rename the file");
  const { sha256, bytes } = await blobs.put(createReadStream(path));
  const list = await readFile(path.replace(/\.onnx$/, '.labels.txt'), 'utf8').catch(() => undefined);
  const labels = list === undefined ? undefined : await putLabels(list, blobs);
  return { name, version: 1, sha256, bytes, labels };
}

async function putLabels(list: string, blobs: Blobs): Promise<string> {
  const lines = list.replace(/\r?\n$/, '').split(/\r?\n/);
  async function* content(): AsyncGenerator<Uint8Array> {
    yield new TextEncoder().encode(JSON.stringify(lines));
  }
  return (await blobs.put(content())).sha256;
}

async function readTrigger(path: string): Promise<Trigger> {
  const { parseTrigger } = await import('../../runtime/triggers/trigger-file.ts');
  return parseTrigger(await readFile(path, 'utf8'), 'trigger');
}
