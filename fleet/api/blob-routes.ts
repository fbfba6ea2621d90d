/** Files by content. A file never changes under its name, so the name is the strong validator (RFC 9110, section 8.8.3). */
import { createReadStream } from 'node:fs';
import { Readable } from 'node:stream';
import type { Context, Hono } from 'hono';
import { hashSchema } from '../../runtime/protocol/messages.ts';
import { BLOB_BYTES_MAX } from '../../runtime/store/blobs.ts';
import type { BlobStore } from '../controller/blob-store.ts';
import type { ControllerService } from '../controller/service.ts';
import { parseRange } from './range.ts';

const READ_BYTES = 2 ** 20;
/** How much of a refused upload is still read, and for how long. */
const LINGER_BYTES_MAX = 64 * 2 ** 20;
const LINGER_MS_MAX = 2_000;

export function blobRoutes(app: Hono, service: ControllerService, blobs: BlobStore): void {
  app.use('/v1/blobs/:sha256', async (context, next) => {
    await next();
    // The rest of a refused upload is still on its way: no next request can share this connection (RFC 9112, 9.3).
    if (context.req.method === 'PUT' && !context.res.ok) context.res.headers.set('connection', 'close');
  });
  app.put('/v1/blobs/:sha256', async (context) => {
    const sha256 = hashOf(context);
    const announced = Number(context.req.header('content-length') ?? 0);
    if (announced > BLOB_BYTES_MAX)
      return context.json(
        { ok: false, error: `blob: expected at most ${BLOB_BYTES_MAX} bytes, got ${announced}` },
        413,
      );
    const body = context.req.raw.body ?? new Blob([]).stream();
    try {
      const result = await service.putBlob(sha256, body.values({ preventCancel: true }));
      return context.json({ ok: true, result }, 201);
    } catch (error) {
      await linger(body);
      throw error;
    }
  });
  // Hono answers HEAD with this too, without the body.
  app.get('/v1/blobs/:sha256', async (context) => {
    const sha256 = hashOf(context);
    const place = await blobs.place(sha256);
    // 307 keeps the method: who follows it asks there for the same range, or hears there that nothing is. The address is good for some time only.
    if ('url' in place && context.req.method !== 'HEAD')
      return new Response(null, { status: 307, headers: { location: place.url, 'cache-control': 'no-store' } });
    const bytes = await blobs.size(sha256);
    if (bytes === undefined) return context.json({ ok: false, error: `blob ${sha256} is not here` }, 404);
    return answer(context, place, bytes, `"${sha256}"`);
  });
}

/**
 * Reads on for a moment: closing a connection on which data still arrives resets it, and the sender would lose the answer
 * that says why (RFC 9112, section 9.6).
 */
async function linger(body: ReadableStream<Uint8Array>): Promise<void> {
  const reader = body.getReader();
  const giveUp = setTimeout(() => reader.cancel().catch(() => {}), LINGER_MS_MAX);
  try {
    let bytes = 0;
    for (let part = await reader.read(); !part.done && bytes < LINGER_BYTES_MAX; part = await reader.read())
      bytes += part.value.byteLength;
  } catch {
    // The sender broke off: nobody waits for the answer.
  } finally {
    clearTimeout(giveUp);
  }
}

function answer(
  context: Context,
  place: Awaited<ReturnType<BlobStore['place']>>,
  bytes: number,
  tag: string,
): Response {
  const { req } = context;
  const headers: Record<string, string> = {
    etag: tag,
    'accept-ranges': 'bytes',
    'cache-control': 'public, max-age=31536000, immutable',
    'content-type': 'application/octet-stream',
  };
  const known = req.header('if-none-match');
  if (known !== undefined && matches(known, tag)) return new Response(null, { status: 304, headers });
  // RFC 9110, 13.1.5: with another If-Range the range does not apply, and the whole file is sent.
  const ifRange = req.header('if-range');
  const range = ifRange === undefined || ifRange === tag ? parseRange(req.header('range'), bytes) : 'whole';
  if (range === 'unsatisfiable')
    return new Response(null, { status: 416, headers: { ...headers, 'content-range': `bytes */${bytes}` } });
  const { start, end } = range === 'whole' ? { start: 0, end: bytes - 1 } : range;
  if (range !== 'whole') headers['content-range'] = `bytes ${start}-${end}/${bytes}`;
  headers['content-length'] = String(end - start + 1);
  const status = range === 'whole' ? 200 : 206;
  if (!('path' in place) || req.method === 'HEAD' || bytes === 0) return new Response(null, { status, headers });
  const stream = createReadStream(place.path, { start, end, highWaterMark: READ_BYTES });
  return new Response(Readable.toWeb(stream) as ReadableStream, { status, headers });
}

/** If-None-Match uses the weak comparison (RFC 9110, 13.1.2). */
function matches(header: string, tag: string): boolean {
  return header.split(',').some((one) => one.trim() === '*' || one.trim().replace(/^W\//, '') === tag);
}

function hashOf(context: Context): string {
  const parsed = hashSchema.safeParse(context.req.param('sha256'));
  if (!parsed.success)
    throw new Error(`blob "${context.req.param('sha256')}": expected a SHA-256 in 64 lower-case hexadecimal digits`);
  return parsed.data;
}
