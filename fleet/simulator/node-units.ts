/** Units of tasks on a simulated node: the real runner on its disk, and work that takes a while. */
import type { TaskRunner } from '../../runtime/node/task-runner.ts';
import { lookAtUpdate } from '../../runtime/node/task-work.ts';
import type { TaskChange } from '../../runtime/node/tasks.ts';
import type { ReportedSoftware } from '../../runtime/protocol/software.ts';
import type { Assignment, Content, Outcome, TaskEvent, Work } from '../../runtime/protocol/tasks.ts';
import { type Disk, keepTasks } from './node-disk.ts';
import { answerTo } from './quality.ts';
import type { CrashPoint, World } from './world.ts';

/** An input that the simulation makes, and what it leads to. */
const FAILS = 'fails';
const LOOK_MS = 2_000;

/** Of one process of a node. */
export interface UnitPorts {
  readonly node: string;
  readonly world: World;
  readonly disk: Disk;
  /** How often each command was begun here: more than once is a violation wherever it is. */
  readonly commandsBegun: Map<string, number>;
  isCurrent(): boolean;
  diskIsFull(): boolean;
  stopsAt(point: CrashPoint): boolean;
  later(delayMs: number, run: () => void): void;
  publish(content: Content<TaskEvent>): void;
  isReady(model: string): boolean;
  /** As it is reported; undefined where its program cannot be replaced. */
  software(): ReportedSoftware | undefined;
}

/** What the real runner asks for. */
export function taskPorts(ports: UnitPorts): ConstructorParameters<typeof TaskRunner>[0] {
  const { node, world, isCurrent, stopsAt } = ports;
  return {
    node,
    now: () => world.now,
    store: { commit: (changes) => commit(ports, changes) },
    send: (content) => {
      if (isCurrent() && !stopsAt('node: before a message about units is sent')) ports.publish(content);
    },
    run: (assignment, signal, done) => isCurrent() && run(ports, assignment, signal, done),
    log() {},
  };
}

function commit({ disk, isCurrent, diskIsFull, stopsAt }: UnitPorts, changes: readonly TaskChange[]): void {
  if (!isCurrent() || diskIsFull() || stopsAt('node: before its units are written')) throw new Error('not written');
  keepTasks(disk, changes);
  stopsAt('node: after its units are written');
}

function run(ports: UnitPorts, assignment: Assignment, signal: AbortSignal, done: (outcome: Outcome) => void): void {
  const { node, world, commandsBegun, later, stopsAt } = ports;
  const { unit, work } = assignment;
  if (work.kind === 'command') {
    const begun = (commandsBegun.get(unit) ?? 0) + 1;
    commandsBegun.set(unit, begun);
    if (begun > 1) world.violate(`command ${unit} is begun ${begun} times, now by ${node}`);
  }
  world.say(`${node} begins ${unit} under ${assignment.fence}`);
  if (work.kind === 'update') {
    awaitUpdate(ports, work, signal, done);
    return;
  }
  const longMs = world.chance.happens(0.05) ? 40_000 : 2_000;
  later(world.chance.between(1, longMs), () => {
    if (stopsAt('node: while a unit is run')) return;
    const isCancelled = signal.aborted && work.kind === 'inference';
    done(isCancelled ? { state: 'cancelled' } : outcomeOf(ports, assignment));
  });
}

/** As `updated` of task-work.ts does it. */
function awaitUpdate(
  ports: UnitPorts,
  work: Work & { kind: 'update' },
  signal: AbortSignal,
  done: (outcome: Outcome) => void,
  wasKnown = false,
): void {
  const { outcome, isKnown } = lookAtUpdate(work, ports.software(), wasKnown);
  if (signal.aborted) done({ state: 'cancelled' });
  else if (outcome) done(outcome);
  else ports.later(LOOK_MS, () => awaitUpdate(ports, work, signal, done, isKnown));
}

function outcomeOf({ node, world, isReady }: UnitPorts, { unit, work }: Assignment): Outcome {
  if (work.kind !== 'inference') return { state: 'succeeded', results: [node] };
  if (!isReady(work.model)) return { state: 'failed', error: `${work.model} is not ready` };
  const texts = work.inputs.map((input) => ('base64' in input ? input.base64 : ''));
  if (texts.includes(FAILS) || world.happens(0.02)) return { state: 'failed', error: `simulated, in ${unit}` };
  return { state: 'succeeded', results: texts.map(answerTo) };
}
