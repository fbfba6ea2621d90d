/** Commands that a node obeys as tasks: a name, what it takes, what it does. */
import * as z from 'zod';
import { HOLD_CHARACTERS_MAX } from '../protocol/messages.ts';
import type { Work } from '../protocol/tasks.ts';
import type { TimelineRun } from '../schedule/timeline.ts';

export interface NodeCommandPorts {
  /** The newest lines of the node's log, oldest first. */
  logLines(count: number): string[];
  setLogLevel(level: string): void;
  /** The latest runs of models, in the order in which they ended. */
  recentRuns(): readonly TimelineRun[];
  /** Nothing that runs is changed until it is called with null. On the disk when it returns. */
  hold(reason: string | null): void;
}

const LOG_LINES_MAX = 1_000;
const RUNS_MAX = 200;

interface NodeCommand {
  readonly takes: z.ZodObject;
  run(given: never, ports: NodeCommandPorts): unknown;
}

const define = <Takes extends z.ZodObject>(
  takes: Takes,
  run: (given: z.output<Takes>, ports: NodeCommandPorts) => unknown,
): NodeCommand => ({ takes, run });

const commands: Readonly<Record<string, NodeCommand>> = {
  logs: define(z.strictObject({ lines: z.int().min(1).max(LOG_LINES_MAX).default(100) }), ({ lines }, ports) =>
    ports.logLines(lines),
  ),
  'log-level': define(
    z.strictObject({ level: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'silent']) }),
    ({ level }, ports) => {
      ports.setLogLevel(level);
      return level;
    },
  ),
  runs: define(z.strictObject({ count: z.int().min(1).max(RUNS_MAX).default(60) }), ({ count }, ports) =>
    ports.recentRuns().slice(-count),
  ),
  hold: define(z.strictObject({ reason: z.string().min(1).max(HOLD_CHARACTERS_MAX) }), ({ reason }, ports) => {
    ports.hold(reason);
    return reason;
  }),
  release: define(z.strictObject({}), (_, ports) => {
    ports.hold(null);
    return 'released';
  }),
};

/** The command's answer. Throws an Error that says which commands there are, or what was wrong with its arguments. */
export function runCommand(work: Work & { kind: 'command' }, ports: NodeCommandPorts): unknown {
  const command = Object.hasOwn(commands, work.command) ? commands[work.command] : undefined;
  if (!command)
    throw new Error(
      `command "${work.command}": this node knows ${Object.keys(commands).join(', ')}; update it for more`,
    );
  const given = command.takes.safeParse(work.arguments);
  if (!given.success) {
    const issue = given.error.issues[0];
    throw new Error(`command "${work.command}": ${issue?.path.join('.') || 'arguments'}: ${issue?.message}`);
  }
  return command.run(given.data as never, ports);
}
