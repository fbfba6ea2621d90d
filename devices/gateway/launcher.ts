/**
 * Starts the node's program, the version that is to run, and starts it again when it ends; all flags are the program's. A version on trial
 * that does not prove itself is replaced by the good one (launch-state.ts). It is the one part of a node that no update replaces.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, symlinkSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { onStop } from '../../runtime/node/stop-io.ts';
import v8Flags from '../../runtime/node/v8-flags.json' with { type: 'json' };
import { lockFolder } from '../../runtime/store/lock.ts';
import { checkedMain, removeVersion } from '../../runtime/store/software.ts';
import type { FromLauncher, ToLauncher } from './launch-messages.ts';
import * as launch from './launch-state.ts';

const RESTART_MS = { min: 250, max: 10_000 };
/** A process that ran this long is taken for healthy: the next restart is quick again. */
const HEALTHY_MS = 10_000;
const STOP_MS = 5_000;
const LOCK_MS = 30_000;
const TRIAL_SECONDS = 300;
const LINE_CHARACTERS_MAX = 300;
const WORDS_CHARACTERS_MAX = 8_000;
/** Flags that cannot work, however often they are tried. */
const USAGE = 2;

const here = dirname(fileURLToPath(import.meta.url));
const builtIn = join(here, import.meta.url.endsWith('.ts') ? 'main.ts' : 'main.js');

class Launcher {
  readonly #folder: string;
  readonly #args: readonly string[];
  readonly #trialMs: number;
  #state: launch.LaunchState;
  #child: ChildProcess | undefined;
  #stopping = false;
  #delayMs = RESTART_MS.min;

  constructor(folder: string, args: readonly string[], trialMs: number) {
    this.#folder = folder;
    this.#args = args;
    this.#trialMs = trialMs;
    this.#state = this.#read();
  }

  stop(): void {
    this.#stopping = true;
    const child = this.#child;
    if (!child) process.exit(0);
    child.kill('SIGTERM');
    setTimeout(() => child.kill('SIGKILL'), STOP_MS).unref();
  }

  start = (): void => {
    if (this.#stopping) process.exit(0);
    const error = this.#note(launch.starting(this.#state));
    if (error !== undefined) {
      // A trial that cannot be counted is not begun: on a disk that takes nothing, what worked goes on.
      log(`the version on trial waits, the one before starts: ${error}`);
      this.#state = { ...this.#state, trial: null };
    }
    const main = this.#mainOf();
    const isTrial = this.#state.trial !== null;
    const { good, rejected } = this.#state;
    const told: FromLauncher = { program: launch.chosen(this.#state), isTrial, good, rejected };
    const child = spawn(process.execPath, [...v8Flags, ...process.execArgv, main, ...this.#args], {
      // What a version on trial says last is why it failed.
      stdio: ['ignore', 'inherit', isTrial ? 'pipe' : 'inherit', 'ipc'],
      env: { ...process.env, LLMASOS_LAUNCHED: JSON.stringify(told) },
    });
    this.#child = child;
    this.#watch(child, isTrial);
  };

  #watch(child: ChildProcess, isTrial: boolean): void {
    const startedMs = performance.now();
    let [words, notYet, isAsked] = ['', 'it never said how it was', false];
    child.stderr?.on('data', (chunk: Buffer) => {
      process.stderr.write(chunk);
      words = (words + chunk.toString()).slice(-WORDS_CHARACTERS_MAX);
    });
    const patience = setTimeout(() => {
      if (!this.#state.trial) return;
      const limit = `did not prove itself within ${this.#trialMs / 1000} s`;
      this.#become(launch.rejected(this.#state, `${limit}: ${notYet}`));
      child.kill('SIGKILL');
    }, this.#trialMs);
    if (!isTrial) clearTimeout(patience);
    child.on('message', (message: ToLauncher) => {
      if (message.type === 'proved') this.#become(launch.proved(this.#state));
      else if (message.type === 'notYet') notYet = message.reason;
      else {
        const error = this.#note(launch.tried(this.#state, message.program));
        isAsked = error === undefined;
        child.send({ type: 'noted', error });
      }
    });
    const end = (how: string, code: number | null): void => {
      clearTimeout(patience);
      if (this.#child !== child) return;
      this.#child = undefined;
      if (!isAsked) this.#ended(how + lastWords(words), code, performance.now() - startedMs);
      else this.start();
    };
    child.on('error', (error) => end(`could not be started: ${error.message}`, null));
    child.on('close', (code, signal) => end(signal ? `was ended by ${signal}` : `ended with code ${code}`, code));
  }

  #ended(how: string, code: number | null, ranMs: number): void {
    const isTrial = this.#state.trial !== null;
    // It was asked to stop, or says that nobody could start it like this.
    if (this.#stopping || (!isTrial && (code === 0 || code === USAGE))) process.exit(this.#stopping ? 0 : (code ?? 0));
    this.#become(launch.ended(this.#state, how));
    if (ranMs > HEALTHY_MS || (isTrial && !this.#state.trial)) this.#delayMs = RESTART_MS.min;
    log(`the node ${how}; it is started again`);
    setTimeout(this.start, this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RESTART_MS.max);
  }

  /** A version whose files are damaged is not started: the one before is, or the program that the machine came with. */
  #mainOf(): string {
    const program = launch.chosen(this.#state);
    if (program === null) return builtIn;
    try {
      return checkedMain(this.#folder, program);
    } catch (error) {
      const { message } = error as Error;
      log(message);
      removeVersion(this.#folder, program);
      this.#become(launch.damaged(this.#state, message));
      return this.#mainOf();
    }
  }

  #read(): launch.LaunchState {
    try {
      return launch.readLaunchState(readFileSync(join(this.#folder, 'state.json'), 'utf8'));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT')
        log(`what it kept cannot be read, the program of the machine starts: ${(error as Error).message}`);
      return launch.FIRST;
    }
  }

  /** What the disk does not take counts as long as this process lives; the next one finds it out again. */
  #become(next: launch.LaunchState): void {
    const error = this.#note(next);
    if (error === undefined) return;
    log(`what it knows of versions cannot be written: ${error}`);
    this.#state = next;
  }

  /** Why it could not be written. */
  #note(next: launch.LaunchState): string | undefined {
    try {
      this.#keep(next);
      return undefined;
    } catch (error) {
      return (error as Error).message;
    }
  }

  /** On the disk when it returns, whole or not at all; throws when it could not be written. */
  #keep(next: launch.LaunchState): void {
    if (next === this.#state) return;
    if (next.rejected && next.rejected !== this.#state.rejected)
      log(`version ${next.rejected.program ?? 'of the machine'} is given up: ${next.rejected.error}`);
    const file = join(this.#folder, 'state.json');
    const handle = openSync(`${file}.tmp`, 'w');
    try {
      writeSync(handle, JSON.stringify(next));
      fsyncSync(handle);
    } finally {
      closeSync(handle);
    }
    renameSync(`${file}.tmp`, file);
    this.#state = next;
    if (process.platform === 'win32') return;
    const folder = openSync(this.#folder, 'r');
    fsyncSync(folder);
    closeSync(folder);
  }
}

/** Node ends a trace with its own version: the line that names an error says more. */
function lastWords(text: string): string {
  const lines = text.split('\n').filter((line) => line.trim() !== '');
  const line = lines.findLast((each) => /error/i.test(each)) ?? lines.at(-1);
  return line === undefined ? '' : `: ${line.slice(0, LINE_CHARACTERS_MAX)}`;
}

function log(message: string): void {
  process.stderr.write(`launcher: ${message}\n`);
}

/** Of an earlier launcher, which was killed: its node ends by itself, and until then holds the data folder. */
async function untilFree(data: string): Promise<void> {
  for (const untilMs = performance.now() + LOCK_MS; ; ) {
    try {
      return lockFolder(data, 'node')();
    } catch (error) {
      if (performance.now() > untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Packages that lie beside the program of the machine are there for other versions too, such as onnxruntime. */
function sharePackages(folder: string): void {
  try {
    symlinkSync(join(here, 'node_modules'), join(folder, 'node_modules'), 'junction');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') log(`packages are not shared: ${(error as Error).message}`);
  }
}

async function main(): Promise<void> {
  const args = process.argv.slice(2);
  const flag = { type: 'string' } as const;
  const { values } = parseArgs({ args, options: { data: flag, trial: flag }, strict: false });
  const data = values.data ?? process.env.LLMASOS_DATA;
  if (typeof data !== 'string') throw new Error('--data is missing; --help of the node names all flags');
  const trialSeconds = Number(values.trial ?? TRIAL_SECONDS);
  if (!(trialSeconds >= 1)) throw new Error(`--trial: expected seconds from 1 on, got "${values.trial}"`);
  const at = args.findIndex((each) => each === '--trial' || each.startsWith('--trial='));
  const forNode = at < 0 ? args : args.toSpliced(at, args[at] === '--trial' ? 2 : 1);
  const folder = join(data, 'software');
  mkdirSync(folder, { recursive: true });
  // Held as long as somebody could let go of it.
  process.on('exit', lockFolder(folder, 'launcher'));
  sharePackages(folder);
  await untilFree(data);
  const launcher = new Launcher(folder, forNode, trialSeconds * 1000);
  onStop(() => launcher.stop());
  launcher.start();
}

main().catch((error: Error) => {
  log(error.message);
  process.exit(USAGE);
});
