/** The one thing a node can be asked over HTTP: `GET /metrics`, for Prometheus. Off unless a port is given. */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type OpenTelemetry, SCRAPE_HEADERS } from '../../runtime/telemetry/telemetry-io.ts';

const CONNECTIONS_MAX = 20;
const TIMEOUT_MS = 10_000;

export interface MetricsAddress {
  readonly host: string;
  /** 0: chosen by the system. */
  readonly port: number;
}

export interface MetricsServer {
  readonly port: number;
  close(): void;
}

/** Throws an Error for the person who wrote the address. */
export function parseMetricsAddress(text: string): MetricsAddress {
  const [, host = '127.0.0.1', digits] = /^(?:(.+):)?(\d{1,5})$/.exec(text) ?? [];
  if (digits === undefined || Number(digits) > 65_535)
    throw new Error(`--metrics: expected PORT or ADDRESS:PORT, such as 9464 or 0.0.0.0:9464, got "${text}"`);
  return { host: host.replace(/^\[|\]$/g, ''), port: Number(digits) };
}

export async function serveMetrics({ host, port }: MetricsAddress, telemetry: OpenTelemetry): Promise<MetricsServer> {
  const server = createServer({ requestTimeout: TIMEOUT_MS }, (request, response) => {
    if (request.method !== 'GET' || request.url !== '/metrics') {
      response.writeHead(404).end('there is GET /metrics here, and nothing else\n');
      return;
    }
    telemetry.scrape().then(
      (text) => response.writeHead(200, SCRAPE_HEADERS).end(text),
      (error: Error) => response.writeHead(500).end(`${error.message}\n`),
    );
  });
  server.maxConnections = CONNECTIONS_MAX;
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause) =>
      reject(
        new Error(`--metrics ${host}:${port}: cannot be listened on: ${cause.message}; choose another port`, { cause }),
      ),
    );
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close() {
      server.close();
      server.closeAllConnections();
    },
  };
}
