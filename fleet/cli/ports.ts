import { createServer } from 'node:net';

/**
 * The wanted port when it is free on the loopback address. Otherwise a free one chosen by the system, or, when the
 * person asked for exactly this port, an Error.
 */
export async function choosePort(wanted: number, insisted: boolean, flag: string): Promise<number> {
  if (await isFree(wanted)) return wanted;
  if (insisted)
    throw new Error(`${flag} ${wanted}: the port is in use; stop what listens there or choose another port`);
  return freePort();
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const bound = server.address();
      server.close(() => resolve(typeof bound === 'object' && bound ? bound.port : 0));
    });
  });
}
