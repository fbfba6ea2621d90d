/** Weights that lie in files beside the model: read from its folder and from nowhere else. */
import { closeSync, fstatSync, openSync, readSync, realpathSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import type { ReadExternal } from './tensor-data.ts';

/**
 * Gives a reader of external data for a model in `folder`. A model file is not trusted: a location that leads out
 * of the folder, by its path (checked by the parser) or by a link (checked here), is refused.
 */
export function externalReader(folder: string): ReadExternal {
  return (location, offset, byteLength) => {
    const place = `external data "${location}"`;
    const root = realpathSync(folder);
    let path: string;
    try {
      path = realpathSync(resolve(root, location));
    } catch (cause) {
      throw new Error(`${place}: expected a file in the model's folder; copy it there`, { cause });
    }
    if (!path.startsWith(root + sep))
      throw new Error(`${place}: expected a file inside the model's folder, got a link that leaves it`);
    const file = openSync(path, 'r');
    try {
      const { size } = fstatSync(file);
      if (offset + byteLength > size) {
        throw new Error(
          `${place}: expected ${byteLength} bytes from ${offset}, but the file has ${size}; it is truncated or belongs to another model`,
        );
      }
      const bytes = new Uint8Array(byteLength);
      for (let at = 0; at < byteLength; ) {
        const got = readSync(file, bytes, at, byteLength - at, offset + at);
        if (got === 0) throw new Error(`${place}: the file became shorter while it was read`);
        at += got;
      }
      return bytes;
    } finally {
      closeSync(file);
    }
  };
}
