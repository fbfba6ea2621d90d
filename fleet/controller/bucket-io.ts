/**
 * Files by content in a bucket of a store that speaks S3's API (Amazon, Ceph, …), which also serves them: nodes are sent there with a
 * signed address, so that a controller is not what every byte goes through. Keys, region and address come from where AWS's own tools
 * take them: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3, ~/.aws.
 */
import { randomUUID } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { openBlobs } from '../../runtime/store/blobs.ts';
import { sha256Of } from '../../runtime/store/manifest.ts';
import type { BlobStore } from './blob-store.ts';

/** What one PUT may carry (Amazon S3, "Uploading objects"). */
const OBJECT_BYTES_MAX = 5 * 2 ** 30;
/** A download begins within it; one that was begun goes on. */
const SIGNED_S = 3600;
/** The client repeats by itself what is not a stream. */
const UPLOADS_MAX = 3;
const UPLOAD_PAUSE_MS = 500;
const ADDRESS = /^s3:\/\/([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:\/([\w!.*'()/-]*?))?\/?$/;

/** `incoming` is a folder for what is being received. Rejects with an Error for the person who wrote the address when the bucket cannot be used. */
export async function openBucket(address: string, incoming: string): Promise<BlobStore> {
  const [, bucket, folder] = ADDRESS.exec(address) ?? [];
  if (bucket === undefined)
    throw new Error(`--blobs: expected a folder or an address such as s3://bucket/folder, got "${address}"`);
  const endpoint = process.env.AWS_ENDPOINT_URL_S3 ?? process.env.AWS_ENDPOINT_URL;
  const client = new S3Client({
    // Others than Amazon have no name for each bucket, and often neither a region nor checksums at the end of a body.
    ...(endpoint === undefined
      ? {}
      : { endpoint, forcePathStyle: true, region: process.env.AWS_REGION ?? 'us-east-1' }),
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
  });
  await client.send(new HeadBucketCommand({ Bucket: bucket })).catch((cause: unknown) => {
    const where = endpoint === undefined ? address : `${address} at ${endpoint}`;
    throw new Error(`--blobs ${where}: ${reasonOf(cause)}; is the bucket there, and may these keys use it?`, { cause });
  });
  await rm(incoming, { recursive: true, force: true });
  return new Bucket(client, { bucket, prefix: folder ? `${folder}/` : '', incoming });
}

interface Place {
  readonly bucket: string;
  readonly prefix: string;
  readonly incoming: string;
}

class Bucket implements BlobStore {
  readonly #client: S3Client;
  readonly #place: Place;

  constructor(client: S3Client, place: Place) {
    this.#client = client;
    this.#place = place;
  }

  async has(sha256: string): Promise<boolean> {
    return (await this.size(sha256)) !== undefined;
  }

  async size(sha256: string): Promise<number | undefined> {
    try {
      return (await this.#client.send(new HeadObjectCommand(this.#object(sha256)))).ContentLength;
    } catch (error) {
      if (isMissing(error)) return undefined;
      throw this.#explain(sha256, error);
    }
  }

  async read(sha256: string): Promise<Uint8Array> {
    const content = await this.#client
      .send(new GetObjectCommand(this.#object(sha256)))
      .then(({ Body }) => Body?.transformToByteArray() ?? new Uint8Array())
      .catch((cause: unknown) => Promise.reject(this.#explain(sha256, cause)));
    const found = sha256Of(content);
    if (found === sha256) return content;
    await this.remove(sha256);
    throw new Error(`blob ${sha256}: it was damaged in the bucket (its hash is ${found}); removed, send it again`);
  }

  /** First to a folder of its own, whole and checked: a bucket never holds what is not what its name says. */
  async put(content: AsyncIterable<Uint8Array>, expected?: string): Promise<{ sha256: string; bytes: number }> {
    const folder = join(this.#place.incoming, randomUUID());
    try {
      const received = await openBlobs(folder, OBJECT_BYTES_MAX);
      const { sha256, bytes } = await received.put(content, expected);
      await this.#upload(sha256, received.path(sha256), bytes);
      return { sha256, bytes };
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  }

  /** Also what is there already, so that its age begins anew. */
  async #upload(sha256: string, path: string, bytes: number): Promise<void> {
    for (let attempt = 1; ; attempt++) {
      const body = { Body: createReadStream(path), ContentLength: bytes, ContentType: 'application/octet-stream' };
      try {
        await this.#client.send(new PutObjectCommand({ ...this.#object(sha256), ...body }));
        return;
      } catch (error) {
        if (attempt === UPLOADS_MAX || isRefusal(error)) throw this.#explain(sha256, error);
        await setTimeout(UPLOAD_PAUSE_MS * attempt);
      } finally {
        body.Body.destroy();
      }
    }
  }

  async remove(sha256: string): Promise<void> {
    await this.#client
      .send(new DeleteObjectCommand(this.#object(sha256)))
      .catch((cause: unknown) => Promise.reject(this.#explain(sha256, cause)));
  }

  async list(): Promise<{ sha256: string; cameMs: number }[]> {
    const { bucket, prefix } = this.#place;
    const all: { sha256: string; cameMs: number }[] = [];
    let token: string | undefined;
    do {
      const request = { Bucket: bucket, Prefix: prefix, ContinuationToken: token };
      const page = await this.#client
        .send(new ListObjectsV2Command(request))
        .catch((cause: unknown) => Promise.reject(new Error(`bucket "${bucket}": ${reasonOf(cause)}`, { cause })));
      for (const { Key = '', LastModified } of page.Contents ?? []) {
        const sha256 = Key.slice(prefix.length);
        if (/^[0-9a-f]{64}$/.test(sha256) && LastModified) all.push({ sha256, cameMs: LastModified.getTime() });
      }
      token = page.NextContinuationToken;
    } while (token !== undefined);
    return all;
  }

  async place(sha256: string): Promise<{ url: string }> {
    return {
      url: await getSignedUrl(this.#client, new GetObjectCommand(this.#object(sha256)), { expiresIn: SIGNED_S }),
    };
  }

  #object(sha256: string): { Bucket: string; Key: string } {
    return { Bucket: this.#place.bucket, Key: this.#place.prefix + sha256 };
  }

  #explain(sha256: string, cause: unknown): Error {
    return new Error(`blob ${sha256} in bucket "${this.#place.bucket}": ${reasonOf(cause)}`, { cause });
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof S3ServiceException && error.$metadata.httpStatusCode === 404;
}

/** The store has understood and does not want it: asking again changes nothing. */
function isRefusal(error: unknown): boolean {
  const status = error instanceof S3ServiceException ? (error.$metadata.httpStatusCode ?? 0) : 0;
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

/** An answer to HEAD has no body: the library then knows no more than the status, and says "UnknownError". */
function reasonOf(error: unknown): string {
  const { name, message } = error as Error;
  const status = error instanceof S3ServiceException ? error.$metadata.httpStatusCode : undefined;
  if (status === 404) return 'not there';
  if (status === 403) return 'refused (403: wrong keys, or no right to it)';
  const said = message && message !== 'UnknownError' ? message : name;
  return status === undefined ? `cannot be reached (${said})` : `${said} (${status})`;
}
