/** The command line as a person uses it: `fleet/cli/main.ts` in a process of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { writeModel } from '../../../bench/write-model.ts';

const main = fileURLToPath(new URL('../../../fleet/cli/main.ts', import.meta.url));

export interface Ended {
  readonly code: number | null;
  readonly out: string;
  readonly err: string;
}

export interface Typed {
  readonly child: ChildProcess;
  /** What it has printed so far. */
  out(): string;
  err(): string;
  readonly ended: Promise<Ended>;
}

const children: ChildProcess[] = [];

/** For `test.after`: a test that failed half-way leaves its processes behind. */
export function endAll(): void {
  for (const child of children) child.kill('SIGKILL');
}

/** Types a command. Its output goes to pipes; colour is left to `environment`. */
export function type(words: readonly string[], environment: Readonly<Record<string, string>> = {}): Typed {
  const { NO_COLOR: _, FORCE_COLOR: __, LLMASOS_CONTROLLER: ___, ...rest } = process.env;
  const child = spawn(process.execPath, [main, ...words], { env: { ...rest, ...environment } });
  children.push(child);
  let out = '';
  let err = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    out += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    err += text;
  });
  const ended = new Promise<Ended>((resolve) => child.on('close', (code) => resolve({ code, out, err })));
  return { child, out: () => out, err: () => err, ended };
}

export const llmasos = (...words: string[]): Promise<Ended> => type(words).ended;

/** An ONNX file with one operator from "x" to "y". */
export function oneOperator(operator: string, from: readonly number[], to: readonly number[]): Uint8Array {
  return writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims: from }],
      outputs: [{ name: 'y', type: 1, dims: to }],
      nodes: [{ operator, inputs: ['x'], outputs: ['y'] }],
    },
  });
}

/** What every colour begins with. */
export const escapeCode = String.fromCharCode(27);

/** A port on which nothing listens: one that the system gave and took back. */
export async function unusedPort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Whether a process exists: signal 0 only asks. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
