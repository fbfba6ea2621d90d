/** Weights that lie in files beside the model: read from its folder and from nowhere else. */
import { closeSync, fstatSync, openSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { resolve, sep } from 'node:path';
import { readPart } from './file-io.ts';
import { isConfined, type ReadExternal } from './tensor-data.ts';

/**
 * The file that a model in `folder` names. A model file is not trusted: a location that leads out of the folder, by
 * its path or by a link, is refused.
 */
function confinedPath(folder: string, location: string): string {
  const place = `external data "${location}"`;
  if (!isConfined(location)) throw new Error(`${place}: expected a file inside the model's folder`);
  const root = realpathSync(folder);
  let path: string;
  try {
    path = realpathSync(resolve(root, location));
  } catch (cause) {
    throw new Error(`${place}: expected a file in the model's folder; copy it there`, { cause });
  }
  if (!path.startsWith(root + sep)) {
    throw new Error(`${place}: expected a file inside the model's folder, got a link that leaves it`);
  }
  // A pipe would be waited for, a device read without end.
  if (!statSync(path).isFile()) throw new Error(`${place}: expected a file, got something else`);
  return path;
}

/** Gives a reader of external data for a model in `folder`. */
export function externalReader(folder: string): ReadExternal {
  return (location, offset, byteLength) => {
    const file = openSync(confinedPath(folder, location), 'r');
    try {
      const { size } = fstatSync(file);
      if (offset + byteLength > size) {
        throw new Error(
          `external data "${location}": expected ${byteLength} bytes from ${offset}, but the file has ${size}; it is truncated or belongs to another model`,
        );
      }
      return readPart(file, offset, offset + byteLength, `external data "${location}"`);
    } finally {
      closeSync(file);
    }
  };
}

/** A whole file of external data, for another engine that reads its parts itself. */
export function readExternalFile(folder: string, location: string): Uint8Array {
  return readFileSync(confinedPath(folder, location));
}
