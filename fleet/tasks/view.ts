/** Tasks as they are shown. */

import { compileExpression } from '../../runtime/triggers/expressions.ts';
import { selects } from '../controller/selector.ts';
import type { NodeFacts } from './dispatch.ts';
import type { UnitCounts } from './store.ts';
import type { Task, TaskSpec, TaskState } from './task.ts';
import type { Unit } from './unit.ts';

/** `from`: of how many results. */
export type Answer = { readonly from: number } & ({ readonly value: unknown } | { readonly error: string });

export interface TaskView {
  readonly id: string;
  readonly state: TaskState;
  /** Asked to end, and waits for the nodes that hold units of it. */
  readonly ending: boolean;
  /** `inference vad` or `command logs`. */
  readonly what: string;
  readonly priority: TaskSpec['priority'];
  readonly units: number;
  readonly unitsEnded: number;
  readonly addedAt: number;
  readonly deadlineAt: number;
  readonly endedAt: number | null;
}

export interface TaskDetail extends TaskView {
  readonly inputs: number;
  readonly unitStates: UnitCounts;
  /** A thousand of them: those of which something went wrong before others. */
  readonly unitList: readonly Pick<Unit, 'index' | 'state' | 'node' | 'attempts' | 'error'>[];
  /** Why nothing moves, when queued units have no node to go to. */
  readonly waitsFor: string | null;
  /** When they are asked for: one an input in their order, null where there is none (yet); of a command one a node. */
  readonly results: readonly unknown[] | null;
  /** What `reduce` makes of the results that there are; null without it. */
  readonly answer: Answer | null;
}

/** What is read of a task's units to show them. */
interface TaskUnits {
  readonly counts: UnitCounts;
  readonly shown: readonly Unit[];
  /** Nodes that alone may do a unit which waits. */
  readonly awaited: readonly string[];
}

export function taskView(task: Task): TaskView {
  const { id, state, cancelled, spec, units, unitsEnded, addedAt, deadlineAt, endedAt } = task;
  const { priority } = spec;
  const ending = state === 'active' && cancelled;
  return { id, state, ending, what: whatText(spec), priority, units, unitsEnded, addedAt, deadlineAt, endedAt };
}

export function whatText({ work }: Pick<TaskSpec, 'work'>): string {
  if (work.kind === 'update') return `update ${work.version}`;
  return work.kind === 'inference' ? `inference ${work.model}` : `command ${work.command}`;
}

export function taskDetail(
  task: Task,
  units: TaskUnits,
  nodes: readonly NodeFacts[],
  results: ReadonlyMap<number, readonly unknown[]>,
  withResults: boolean,
): TaskDetail {
  return {
    ...taskView(task),
    inputs: task.spec.work.kind === 'inference' ? task.spec.work.inputs.length : 0,
    unitStates: units.counts,
    unitList: units.shown.map(({ index, state, node, pinned, attempts, error }) => ({
      ...{ index, state, attempts, error },
      node: node ?? pinned,
    })),
    waitsFor: waitsFor(task, units, nodes),
    results: withResults ? inOrder(task, results) : null,
    answer: answerOf(task, results),
  };
}

/** The reduce step: over the results so far, in the order of their inputs. */
function answerOf({ spec, units }: Task, results: ReadonlyMap<number, readonly unknown[]>): Answer | null {
  if (spec.work.kind !== 'inference' || spec.work.reduce === undefined) return null;
  const all = Array.from({ length: units }, (_, index) => results.get(index) ?? []).flat();
  try {
    return { from: all.length, value: compileExpression(spec.work.reduce, ['results']).evaluate({ results: all }) };
  } catch (error) {
    return { from: all.length, error: (error as Error).message };
  }
}

function waitsFor({ spec }: Task, { counts, awaited }: TaskUnits, nodes: readonly NodeFacts[]): string | null {
  if (!counts.queued) return null;
  const online = new Set(nodes.map(({ name }) => name));
  const pinned = awaited.filter((name) => !online.has(name));
  if (pinned.length > 0) return `${pinned.slice(0, 5).join(', ')} to come online, with a version that knows tasks`;
  const chosen = nodes.filter((node) => selects(spec.selector, node));
  if (chosen.length === 0) return 'a node that matches its selector to come online, with a version that knows tasks';
  const { work } = spec;
  if (work.kind === 'inference' && !chosen.some(({ ready }) => ready.has(work.model)))
    return `model "${work.model}" to be ready on ${chosen
      .map(({ name }) => name)
      .slice(0, 5)
      .join(', ')}; a trigger that uses it brings it there`;
  return null;
}

function inOrder({ spec, units }: Task, results: ReadonlyMap<number, readonly unknown[]>): unknown[] {
  const sizeOf = (index: number): number => {
    if (spec.work.kind !== 'inference') return 1;
    const { inputs, inputsPerUnit } = spec.work;
    return Math.min(inputsPerUnit, inputs.length - index * inputsPerUnit);
  };
  return Array.from({ length: units }, (_, index) => index).flatMap(
    (index) => results.get(index) ?? Array<null>(sizeOf(index)).fill(null),
  );
}
