/** A task: what a person asks for, the units that it is split into, and what becomes of it. */
import * as z from 'zod';
import { hashSchema, nameSchema } from '../../runtime/protocol/messages.ts';
import { softwareVersionSchema } from '../../runtime/protocol/software.ts';
import { formatSchema, inputSchema, type Work } from '../../runtime/protocol/tasks.ts';
import { priorities } from '../../runtime/triggers/schema.ts';
import { selectorSchema } from '../controller/selector.ts';
import { hasEnded, newUnit, type Unit } from './unit.ts';

const INPUTS_MAX = 10_000;
const DAY_MS = 86_400_000;
const EXPRESSION_CHARACTERS_MAX = 2_000;

const work = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('inference'),
    model: nameSchema,
    format: formatSchema,
    inputs: z.array(inputSchema).min(1).max(INPUTS_MAX),
    inputsPerUnit: z.int().min(1).max(1_000).default(16).describe('how many inputs a node gets at a time'),
    reduce: z
      .string()
      .min(1)
      .max(EXPRESSION_CHARACTERS_MAX)
      .optional()
      .describe('CEL over `results`, a list: one answer from all of them, such as size(results)'),
  }),
  z.strictObject({
    kind: z.literal('command'),
    command: nameSchema,
    arguments: z.record(z.string(), z.unknown()).default({}),
  }),
  z.strictObject({
    kind: z.literal('update'),
    version: softwareVersionSchema,
    sha256: hashSchema.optional().describe('of its list of files; found by its version when absent'),
  }),
]);

export const taskSpecSchema = z.strictObject({
  id: nameSchema.optional().describe('chosen by who asks: the same id again is the same task, not another one'),
  work,
  selector: selectorSchema.default({}),
  priority: z.enum(priorities).default('normal'),
  attemptsMax: z.int().min(1).max(100).default(3),
  /** Counted from its acceptance; what has not ended by then is withdrawn and expires. */
  timeoutMs: z
    .int()
    .min(1_000)
    .max(90 * DAY_MS)
    .default(DAY_MS),
});

export type TaskSpec = z.output<typeof taskSpecSchema>;

export type TaskState = 'active' | 'succeeded' | 'failed' | 'cancelled' | 'expired';

export interface Task {
  readonly id: string;
  readonly spec: TaskSpec;
  readonly state: TaskState;
  readonly cancelled: boolean;
  readonly addedAt: number;
  readonly deadlineAt: number;
  readonly endedAt: number | null;
  readonly units: number;
  readonly unitsEnded: number;
}

/** @param nodes those that the selector matches: a command becomes one unit for each of them */
export function newTask(
  id: string,
  spec: TaskSpec,
  nodes: readonly string[],
  now: number,
): { task: Task; units: Unit[] } {
  const units = splitUp(id, spec, nodes);
  const rest = { state: 'active' as const, cancelled: false, endedAt: null, unitsEnded: 0 };
  return { task: { id, spec, addedAt: now, deadlineAt: now + spec.timeoutMs, units: units.length, ...rest }, units };
}

function splitUp(id: string, { work, selector }: TaskSpec, nodes: readonly string[]): Unit[] {
  if (work.kind === 'inference') {
    const count = Math.ceil(work.inputs.length / work.inputsPerUnit);
    return Array.from({ length: count }, (_, index) => newUnit(id, index, null));
  }
  if (nodes.length === 0)
    throw new Error(
      `task "${id}": no node matches ${JSON.stringify(selector)}; "llmasos nodes" shows those that there are`,
    );
  return nodes.map((node, index) => newUnit(id, index, node));
}

/** What a node is asked to do for one unit. */
export function workOf({ spec }: Pick<Task, 'spec'>, index: number): Work {
  const { work } = spec;
  if (work.kind === 'command') return work;
  if (work.kind === 'update') return { ...work, sha256: work.sha256 as string };
  const { inputsPerUnit, inputs, reduce: _, ...rest } = work;
  return { ...rest, inputs: inputs.slice(index * inputsPerUnit, (index + 1) * inputsPerUnit) };
}

/** The task once all of its units have ended; before that, itself with the count. */
export function withProgress(task: Task, units: readonly Unit[], now: number): Task {
  const unitsEnded = units.filter(hasEnded).length;
  if (unitsEnded < units.length) return { ...task, unitsEnded };
  const some = (state: Unit['state']) => units.some((unit) => unit.state === state);
  const state = some('expired') ? 'expired' : some('cancelled') ? 'cancelled' : some('failed') ? 'failed' : 'succeeded';
  return { ...task, unitsEnded, state, endedAt: now };
}

/** The order in which tasks are served: urgent classes first, in each the earliest deadline. */
export function moreUrgent(a: Task, b: Task): number {
  const rank = ({ spec }: Task) => priorities.indexOf(spec.priority);
  return rank(a) - rank(b) || a.deadlineAt - b.deadlineAt || a.addedAt - b.addedAt || (a.id < b.id ? -1 : 1);
}
