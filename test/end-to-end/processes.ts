/** Programs that the end-to-end tests start and speak with as a person would: mosquitto and its clients, the command line. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { eventually, temporary } from '../fleet/fleet-parts.ts';
import { findProgram, testWhere } from '../requirement.ts';

const commandLine = fileURLToPath(new URL('../../fleet/cli/main.ts', import.meta.url));
const programs = ['mosquitto', 'mosquitto_pub', 'mosquitto_sub', 'stdbuf'] as const;
const paths = Object.fromEntries(programs.map((name) => [name, findProgram(name)]));

/** `test`, or its stand-in where the broker or its clients are missing. */
export const whereMosquitto = (test: Parameters<typeof testWhere>[0]) =>
  testWhere(test, hasMosquitto, 'the Debian packages mosquitto, mosquitto-clients and coreutils');

export const hasMosquitto = programs.every((name) => paths[name]);

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return port;
}

export interface Mosquitto {
  readonly url: string;
  readonly port: number;
  readonly child: ChildProcess;
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** @param settings further lines of mosquitto.conf(5) */
export async function startMosquitto(port: number, settings = 'persistence false'): Promise<Mosquitto> {
  const file = join(temporary(), 'mosquitto.conf');
  // As root it gives up its rights for those of a user who may not write into our folder.
  writeFileSync(file, `user root\nlistener ${port} 127.0.0.1\nallow_anonymous true\n${settings}\n`);
  const child = spawn(paths.mosquitto as string, ['-c', file], { stdio: 'ignore' });
  const exited = once(child, 'close');
  // A test that fails half-way does not stop it: it keeps the test's process running no longer than the tests do.
  child.unref();
  process.once('exit', () => child.kill('SIGKILL'));
  await eventually('mosquitto listens', () => isListening(port));
  return {
    url: `mqtt://127.0.0.1:${port}`,
    port,
    child,
    async stop(signal = 'SIGTERM') {
      child.ref();
      child.kill(signal);
      await exited;
    },
  };
}

export function isListening(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
}

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

function run(file: string, args: readonly string[]): Promise<Outcome> {
  return new Promise((resolve) =>
    execFile(file, args, { encoding: 'utf8', maxBuffer: 2 ** 28 }, (error, stdout, stderr) =>
      resolve({ code: error ? Number(error.code ?? 1) : 0, stdout, stderr }),
    ),
  );
}

/** The command `llmasos`, asking the controller at `url`. */
export const llmasos = (url: string, ...words: string[]): Promise<Outcome> =>
  run(process.execPath, [commandLine, '--controller', url, ...words]);

/** The same where nothing but success will do. */
export async function llmasosDone(url: string, ...words: string[]): Promise<string> {
  const { code, stdout, stderr } = await llmasos(url, ...words);
  if (code !== 0) throw new Error(`llmasos ${words.join(' ')} ended with ${code}: ${stderr}`);
  return stdout;
}

export async function mosquittoPub(port: number, ...words: string[]): Promise<void> {
  const { code, stderr } = await run(paths.mosquitto_pub as string, ['-p', String(port), '-q', '1', ...words]);
  if (code !== 0) throw new Error(`mosquitto_pub ${words.join(' ')} ended with ${code}: ${stderr}`);
}

/** Subscribes, and resolves with a function that resolves with the next `count` messages as text. */
export async function mosquittoSub(port: number, filter: string, count: number) {
  // Into a pipe it would gather its lines until it ends (setvbuf(3)); coreutils' stdbuf has it write each at once.
  const child = spawn(paths.stdbuf as string, [
    ...['-oL', paths.mosquitto_sub as string, '-d', '-p', String(port), '-t', filter, '-q', '1'],
    ...['-C', String(count), '-W', '30', '-F', 'message %t %p'],
  ]);
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const exited = once(child, 'close');
  // `-d` says when the broker has granted the subscription: what is published from then on is heard.
  await eventually(`mosquitto_sub has subscribed to ${filter}`, () => output.includes('received SUBACK'));
  return async (): Promise<{ topic: string; json: Record<string, unknown> }[]> => {
    await exited;
    const lines = output.split('\n').filter((line) => line.startsWith('message '));
    if (lines.length < count)
      throw new Error(`${filter}: expected ${count} messages, heard ${lines.length}: ${output}`);
    return lines.map((line) => {
      const [, topic = '', ...rest] = line.split(' ');
      return { topic, json: JSON.parse(rest.join(' ')) };
    });
  };
}
