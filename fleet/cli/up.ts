import { NAME_PATTERN } from '../../runtime/protocol/topics.ts';
import { startBox } from './box.ts';
import type { Terminal } from './program.ts';

export interface UpOptions {
  readonly nodes: readonly string[];
  readonly data: string;
  readonly mqttPort?: number;
  readonly wsPort?: number;
  readonly httpPort?: number;
}

/** Runs a controller and nodes until the terminal's signal aborts. */
export async function up(options: UpOptions, { print, style, signal }: Terminal): Promise<void> {
  for (const name of options.nodes)
    if (!NAME_PATTERN.test(name))
      throw new Error(`--nodes "${name}": expected letters, digits, _ and - only, 1 to 64 of them`);
  const box = await startBox({
    data: options.data,
    nodes: [...new Set(options.nodes)].map((name) => ({ name, labels: {} })),
    mqttPort: options.mqttPort,
    webSocketPort: options.wsPort,
    httpPort: options.httpPort,
    signal,
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
