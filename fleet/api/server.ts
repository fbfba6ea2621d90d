/** The HTTP port of a controller: bound first, so that its address is known, and served once there is something behind it. */
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import type { Hono } from 'hono';
import { PortError } from '../controller/port-error.ts';

const HEADERS_MS = 30_000;
/** A connection on which nothing moves for so long is given up; an inference may be waited for 600 s without a word. */
const SILENCE_MS = 660_000;
const CONNECTIONS_MAX = 5_000;

export interface HttpPort {
  readonly port: number;
  serve(app: Hono): void;
  /** Ends open requests too: watchers would keep the port for ever. */
  close(): Promise<void>;
}

/** Rejects with a PortError when the port cannot be had. */
export async function listenHttp(host: string, port: number): Promise<HttpPort> {
  let listener: RequestListener = (_, response) => {
    response.writeHead(503, { 'content-type': 'application/json', 'retry-after': '1' });
    response.end(JSON.stringify({ ok: false, error: 'the controller is starting; try again in a second' }));
  };
  // A large upload over a slow line may take hours: only the headers have to come soon.
  const server = createServer({ keepAlive: true, requestTimeout: 0, headersTimeout: HEADERS_MS }, (request, response) =>
    listener(request, response),
  );
  server.setTimeout(SILENCE_MS);
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) => reject(new PortError(host, port, '--http-port', cause)));
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    serve(app) {
      listener = getRequestListener(app.fetch);
    },
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}
