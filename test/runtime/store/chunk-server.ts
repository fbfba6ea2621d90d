/** A file that is served in chunks over HTTP, as a controller does it. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { encodeManifest, sha256Of } from '../../../runtime/store/manifest.ts';

/** The file and its list of chunks by hash, with Range; `spoil` may change what is sent of the file, or keep the end of it back. */
export async function serveChunks(content: Uint8Array, spoil: (part: Buffer, from: number) => Buffer = (part) => part) {
  const manifest = encodeManifest(content) as Uint8Array;
  const files = new Map([content, manifest].map((bytes) => [sha256Of(bytes), Buffer.from(bytes)]));
  const ranges: string[] = [];
  const server = createServer((request, response) => {
    const bytes = files.get(request.url?.split('/').at(-1) ?? '');
    if (!bytes) return void response.writeHead(404).end();
    const [, first, last] = /bytes=(\d+)-(\d+)/.exec(request.headers.range ?? '') ?? [];
    if (first === undefined) return void response.writeHead(200).end(bytes);
    ranges.push(`${first}-${last}`);
    const part = spoil(Buffer.from(bytes.subarray(Number(first), Number(last) + 1)), Number(first));
    const range = `bytes ${first}-${last}/${bytes.length}`;
    response.writeHead(206, { 'content-range': range, 'content-length': Number(last) - Number(first) + 1 });
    response.write(part);
    if (part.length > Number(last) - Number(first)) response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const file = { sha256: sha256Of(content), bytes: content.length, chunks: sha256Of(manifest) };
  return { server, url, ranges, file };
}
