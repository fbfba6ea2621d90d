import { startBox } from './box.ts';
import type { Terminal } from './program.ts';

export interface UpOptions {
  readonly nodes: readonly string[];
  readonly data: string;
  readonly mqttPort?: string;
  readonly wsPort?: string;
  readonly httpPort?: string;
}

/** Runs a controller and nodes until the terminal's signal aborts. */
export async function up(options: UpOptions, { print, style, signal }: Terminal): Promise<void> {
  const box = await startBox({
    data: options.data,
    nodes: options.nodes.map((name) => ({ name, labels: {} })),
    mqttPort: portOf('--mqtt-port', options.mqttPort),
    webSocketPort: portOf('--ws-port', options.wsPort),
    httpPort: portOf('--http-port', options.httpPort),
    onExit: (name, reason) => print(style.bad(`${name} ${reason}; starting it again`)),
  });
  try {
    print(
      style.table(
        ['', ''],
        [
          ['broker', style.bold(box.mqttUrl)],
          ['', box.webSocketUrl],
          ['controller', style.bold(box.httpUrl)],
          ['nodes', options.nodes.join(', ')],
          ['logs', `${options.data}/logs`],
        ],
      ),
    );
    print(`\nllmasos --controller ${box.httpUrl} nodes   shows them. Ctrl-C ends everything.`);
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
  } finally {
    await box.stop();
  }
}

function portOf(flag: string, given: string | undefined): number | undefined {
  if (given === undefined) return undefined;
  const port = Number(given);
  if (!Number.isInteger(port) || port < 1 || port > 65_535)
    throw new Error(`${flag} ${given}: expected a port from 1 to 65535`);
  return port;
}
