/** A fleet in a box: a controller (with its broker) and nodes as separate processes on this machine, kept running. */

import v8Flags from '../../runtime/node/v8-flags.json' with { type: 'json' };
import { ControllerClient } from '../api/client.ts';
import { DEFAULT_PORTS } from '../controller/controller.ts';
import type { ControllerService } from '../controller/service.ts';
import { choosePort } from './ports.ts';
import { programFile } from './program-file.ts';
import { createSupervisor, type Supervisor } from './supervisor.ts';

const READY_MS_MAX = 30_000;
const READY_POLL_MS = 50;

export interface BoxOptions {
  /** Folder for everything: the controller's database, the nodes' data, logs. */
  readonly data: string;
  readonly nodes: readonly { readonly name: string; readonly labels: Readonly<Record<string, string>> }[];
  /** Ports that the person insisted on; otherwise the default, or a free one when it is taken. */
  readonly mqttPort?: number;
  readonly webSocketPort?: number;
  readonly httpPort?: number;
  /** Told about processes that ended and will be started again. */
  readonly onExit: (name: string, reason: string) => void;
  /** Gives up while the controller is not there yet. */
  readonly signal: AbortSignal;
}

export interface Box {
  readonly controller: ControllerService;
  readonly mqttUrl: string;
  readonly webSocketUrl: string;
  readonly httpUrl: string;
  readonly supervisor: Supervisor;
  stop(): Promise<void>;
}

/** Resolves when the controller answers and every node has been started. Rejects, with nothing left running, when it never does. */
export async function startBox(options: BoxOptions): Promise<Box> {
  const mqttPort = await choosePort(
    options.mqttPort ?? DEFAULT_PORTS.mqtt,
    options.mqttPort !== undefined,
    '--mqtt-port',
  );
  const webSocketPort = await choosePort(
    options.webSocketPort ?? DEFAULT_PORTS.webSocket,
    options.webSocketPort !== undefined,
    '--ws-port',
  );
  const httpPort = await choosePort(
    options.httpPort ?? DEFAULT_PORTS.http,
    options.httpPort !== undefined,
    '--http-port',
  );
  const mqttUrl = `mqtt://127.0.0.1:${mqttPort}`;
  const httpUrl = `http://127.0.0.1:${httpPort}`;
  const supervisor = createSupervisor(`${options.data}/logs`, options.onExit);
  supervisor.start({
    name: 'controller',
    file: programFile('fleet/main.ts'),
    arguments: [
      ...['--data', `${options.data}/controller`, '--mqtt-port', `${mqttPort}`],
      ...['--ws-port', `${webSocketPort}`, '--http-port', `${httpPort}`],
    ],
  });
  const nodes = options.nodes.map(({ name, labels }) => ({
    name,
    file: programFile('devices/gateway/main.ts'),
    flags: v8Flags,
    arguments: [
      ...['--name', name, '--broker', mqttUrl, '--data', `${options.data}/${name}`],
      ...[
        '--labels',
        Object.entries(labels)
          .map(([key, value]) => `${key}=${value}`)
          .join(','),
      ],
    ],
  }));
  try {
    // Nodes that start beside the controller only take processors from it: they would find no broker, and wait.
    await answering(httpUrl, options.signal);
    for (const node of nodes) supervisor.start(node);
  } catch (error) {
    await supervisor.stop();
    throw error;
  }
  return {
    controller: new ControllerClient(httpUrl),
    ...{ mqttUrl, httpUrl, supervisor },
    webSocketUrl: `ws://127.0.0.1:${webSocketPort}`,
    stop: () => supervisor.stop(),
  };
}

async function answering(httpUrl: string, signal: AbortSignal): Promise<void> {
  const until = performance.now() + READY_MS_MAX;
  while (performance.now() < until) {
    const response = await fetch(`${httpUrl}/healthz`).catch(() => undefined);
    if (response?.ok) return;
    if (signal.aborted) throw new Error(`stopped before the controller answered at ${httpUrl}`);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
  throw new Error(`the controller did not answer at ${httpUrl} within ${READY_MS_MAX / 1000} s; its log says why`);
}
