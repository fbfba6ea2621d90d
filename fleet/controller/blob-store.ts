/** Files by content as a controller keeps them: in a folder, or in a bucket (bucket-io.ts). */
import { stat } from 'node:fs/promises';
import { type Blobs, openBlobs } from '../../runtime/store/blobs.ts';

export interface BlobStore extends Pick<Blobs, 'has' | 'read' | 'put' | 'remove'> {
  /** Undefined when it is not here. */
  size(sha256: string): Promise<number | undefined>;
  /** All whole files, and when each came, in milliseconds since the epoch. */
  list(): Promise<{ readonly sha256: string; readonly cameMs: number }[]>;
  /** Where its bytes are for who wants to have it: in a file here, or at an address where anybody can GET it for some time, with Range. */
  place(sha256: string): Promise<{ readonly path: string } | { readonly url: string }>;
}

export async function openFolder(folder: string): Promise<BlobStore> {
  const blobs = await openBlobs(folder);
  const found = (sha256: string) => stat(blobs.path(sha256)).catch(() => undefined);
  return {
    has: blobs.has,
    read: blobs.read,
    put: blobs.put,
    remove: blobs.remove,
    size: async (sha256) => (await found(sha256))?.size,
    async list() {
      const { present } = await blobs.list();
      const ages = await Promise.all(
        present.map(async (sha256) => ({ sha256, cameMs: (await found(sha256))?.mtimeMs })),
      );
      return ages.flatMap(({ sha256, cameMs }) => (cameMs === undefined ? [] : [{ sha256, cameMs }]));
    },
    place: async (sha256) => ({ path: blobs.path(sha256) }),
  };
}
