/** Keeps a set of child processes running: what dies is started again with back-off, what is stopped ends cleanly. */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdirSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const RESTART_MS_MIN = 250;
const RESTART_MS_MAX = 10_000;
/** A process that ran this long is taken for healthy: the next restart is quick again. */
const HEALTHY_MS = 10_000;
const STOP_MS = 5_000;

export interface Service {
  readonly name: string;
  /** A TypeScript file of the project, or of the bundle. */
  readonly file: string;
  readonly arguments: readonly string[];
  /** For Node itself. */
  readonly flags?: readonly string[];
}

export interface Running {
  readonly name: string;
  pid(): number | undefined;
  restarts(): number;
}

export interface Supervisor {
  start(service: Service): Running;
  running(): readonly Running[];
  /** SIGTERM to all in reverse order of their start, SIGKILL to what is left after 5 s. */
  stop(): Promise<void>;
}

/** @param logs folder for one log file a process @param onExit told when a process ends that should not have */
export function createSupervisor(logs: string, onExit: (name: string, reason: string) => void): Supervisor {
  mkdirSync(logs, { recursive: true });
  const watched: Watched[] = [];
  return {
    start(service) {
      const item = new Watched(service, join(logs, `${service.name}.log`), onExit);
      watched.push(item);
      return item;
    },
    running: () => watched,
    async stop() {
      for (const item of watched.toReversed()) await item.stop();
    },
  };
}

class Watched implements Running {
  readonly name: string;
  readonly #service: Service;
  readonly #log: string;
  readonly #onExit: (name: string, reason: string) => void;
  #child: ChildProcess | undefined;
  #timer: NodeJS.Timeout | undefined;
  #stopping = false;
  #restarts = 0;
  #delayMs = RESTART_MS_MIN;

  constructor(service: Service, log: string, onExit: (name: string, reason: string) => void) {
    this.name = service.name;
    this.#service = service;
    this.#log = log;
    this.#onExit = onExit;
    this.#spawn();
  }

  pid = () => this.#child?.pid;
  restarts = () => this.#restarts;

  #spawn(): void {
    const log = openSync(this.#log, 'a');
    const startedAt = performance.now();
    // A group of its own, so that Ctrl-C in the terminal reaches only the supervisor, which then stops them in order; and
    // a channel whose end tells the child that the supervisor is gone, however that happened (runtime/node/stop-io.ts).
    const { flags = [], file, arguments: given } = this.#service;
    const child = spawn(process.execPath, [...flags, file, ...given], {
      stdio: ['ignore', log, log, 'ipc'],
      detached: true,
    });
    closeSync(log);
    this.#child = child;
    child.on('error', (error) => this.#ended(`could not be started: ${error.message}`, startedAt));
    child.on('exit', (code, signal) =>
      this.#ended(signal ? `was ended by ${signal}` : this.#lastWords(code), startedAt),
    );
  }

  /** Exit code 2: it cannot start, for the reason in its last line (fleet/main.ts, devices/gateway/main.ts). */
  #lastWords(code: number | null): string {
    const said = code === 2 ? readFileSync(this.#log, 'utf8').trimEnd().split('\n').at(-1) : undefined;
    return `exited with code ${code}${said ? ` ("${said}")` : ''}`;
  }

  #ended(reason: string, startedAt: number): void {
    this.#child = undefined;
    if (this.#stopping) return;
    this.#onExit(this.name, `${reason}; its log is ${this.#log}`);
    if (performance.now() - startedAt > HEALTHY_MS) this.#delayMs = RESTART_MS_MIN;
    this.#timer = setTimeout(() => {
      this.#restarts++;
      this.#spawn();
    }, this.#delayMs);
    this.#delayMs = Math.min(this.#delayMs * 2, RESTART_MS_MAX);
  }

  stop(): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#timer);
    const child = this.#child;
    if (!child || child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
    return new Promise((resolve) => {
      const kill = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
      child.on('exit', () => {
        clearTimeout(kill);
        resolve();
      });
      child.kill('SIGTERM');
    });
  }
}
