import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { softwareVersionSchema } from '../../runtime/protocol/software.ts';
import { formatSchema } from '../../runtime/protocol/tasks.ts';
import { priorities } from '../../runtime/triggers/schema.ts';
import { taskSpecSchema } from '../tasks/task.ts';
import type { TaskDetail, TaskView } from '../tasks/view.ts';
import { type CommandContext, defineCommand, type Style } from './command.ts';
import { inputFrom } from './files-io.ts';
import { selectorFlags, selectorOf } from './selector-text.ts';
import { printable, timeText } from './text.ts';

const id = nameSchema.describe('task');
const states = ['active', 'succeeded', 'failed', 'cancelled', 'expired'] as const;

/** What a task is, as it is typed. */
export const taskFlags = {
  model: nameSchema.optional().describe('model to run; with --inputs'),
  inputs: z.array(z.string()).min(1).optional().describe('files, one input each; split over the nodes'),
  format: formatSchema.default('image').describe('what the files are'),
  inputsPerUnit: z.coerce
    .number()
    .int()
    .min(1)
    .max(1_000)
    .optional()
    .describe('how many inputs a node gets at a time (16)'),
  reduce: z.string().optional().describe('one answer from all results, as CEL: size(results.filter(r, r.score > 0.5))'),
  command: nameSchema.optional().describe('command for every node that is selected, such as logs'),
  argument: z.array(z.string()).optional().describe('key=value for the command, such as lines=20'),
  ...selectorFlags,
  priority: z.enum(priorities).default('normal'),
  attempts: z.coerce.number().int().min(1).max(100).optional().describe('how often a unit is tried (3)'),
  timeout: z.coerce
    .number()
    .min(1)
    .max(7_776_000)
    .optional()
    .describe('seconds until what has not ended expires (86400)'),
};

const ONE_KIND = 'tasks add: expected one of --model with --inputs, --command, and --update';

const typedSchema = z.strictObject(taskFlags);

/** @param command the words that were typed, for what is refused */
export async function typedTask(
  command: string,
  typed: z.output<typeof typedSchema>,
  controller: CommandContext['controller'],
): Promise<Omit<z.input<typeof taskSpecSchema>, 'id'>> {
  if ((typed.model === undefined) === (typed.command === undefined))
    throw new Error(`${command}: expected either --model with --inputs, or --command`);
  const rest = {
    selector: selectorOf(typed.node, typed.label),
    priority: typed.priority,
    attemptsMax: typed.attempts,
    timeoutMs: typed.timeout === undefined ? undefined : Math.round(typed.timeout * 1000),
  };
  if (typed.command !== undefined)
    return { work: { kind: 'command', command: typed.command, arguments: parseGiven(typed.argument) }, ...rest };
  const { model, inputs = [], format, inputsPerUnit, reduce } = typed;
  if (inputs.length === 0) throw new Error(`${command}: --inputs: expected at least one file`);
  const placed = [];
  for (const file of inputs) placed.push(await inputFrom(file, controller));
  return {
    work: { kind: 'inference', model: model as string, format, inputs: placed, inputsPerUnit, reduce },
    ...rest,
  };
}

export const tasksAdd = defineCommand({
  name: ['tasks', 'add'],
  summary: 'Give the fleet a task: a model over one input or many, a command for nodes, or a version of their program',
  arguments: taskSpecSchema,
  local: {
    arguments: z.strictObject({
      ...taskFlags,
      update: softwareVersionSchema
        .optional()
        .describe("version of the node's program for every node that is selected"),
      id: nameSchema.optional().describe('the same id again is the same task'),
    }),
    async prepare({ id, update, ...typed }, { controller }) {
      if (update !== undefined) return { id, ...updateTask(update, typed) };
      if (typed.model === undefined && typed.command === undefined) throw new Error(ONE_KIND);
      return { id, ...(await typedTask('tasks add', typed, controller)) };
    },
  },
  permission: 'write',
  run: async (spec, { controller }) => controller.tasks.add(spec),
  render: (task, style) =>
    `${style.good('accepted')} task ${style.bold(task.id)}: ${task.what}, ${countText(task.units, 'unit')}; "llmasos tasks show ${task.id}" follows it`,
});

function updateTask(version: string, typed: z.output<typeof typedSchema>): Omit<z.input<typeof taskSpecSchema>, 'id'> {
  if (typed.model !== undefined || typed.command !== undefined) throw new Error(ONE_KIND);
  const without = (['inputs', 'argument', 'reduce', 'attempts'] as const).find((flag) => typed[flag] !== undefined);
  if (without) throw new Error(`tasks add: expected no --${without} with --update`);
  const timeoutMs = typed.timeout === undefined ? undefined : Math.round(typed.timeout * 1000);
  return {
    work: { kind: 'update', version },
    selector: selectorOf(typed.node, typed.label),
    priority: typed.priority,
    timeoutMs,
  };
}

/** `['lines=20', 'level=debug']` → an object; what reads as JSON is taken as such. */
function parseGiven(pairs: readonly string[] = []): Record<string, unknown> {
  const entries = pairs.map((pair) => {
    const at = pair.indexOf('=');
    if (at < 1) throw new Error(`--argument "${pair}": expected key=value, such as lines=20`);
    const text = pair.slice(at + 1);
    try {
      return [pair.slice(0, at), JSON.parse(text)];
    } catch {
      return [pair.slice(0, at), text];
    }
  });
  return Object.fromEntries(entries);
}

export const tasksList = defineCommand({
  name: ['tasks', 'list'],
  summary: 'List the tasks, newest first',
  arguments: z.strictObject({ state: z.enum(states).optional().describe('only those in this state') }),
  permission: 'read',
  run: async ({ state }, { controller }) => controller.tasks.list(state),
  render(all, style) {
    if (all.length === 0) return 'There are no such tasks; "llmasos tasks add" gives the fleet one.';
    const rows = all.map((task) => [
      style.bold(task.id),
      stateText(task, style),
      task.what,
      task.priority,
      `${task.unitsEnded} of ${task.units}`,
      timeText(task.addedAt),
      task.endedAt === null ? '' : timeText(task.endedAt),
    ]);
    return style.table(['task', 'state', 'what', 'priority', 'units ended', 'added', 'ended'], rows);
  },
});

export const tasksShow = defineCommand({
  name: ['tasks', 'show'],
  summary: 'Show how far a task is, what went wrong where, and its results',
  arguments: z.strictObject({ id, results: z.boolean().default(false).describe('with its results') }),
  positionals: ['id'],
  permission: 'read',
  run: async ({ id, results }, { controller }) => controller.tasks.show(id, results),
  render: (task, style) =>
    [
      `${style.bold(task.id)}: ${task.what}${task.inputs > 1 ? ` over ${task.inputs} inputs` : ''}, ${stateText(task, style)}`,
      unitText(task),
      ...(task.waitsFor === null ? [] : [`waits for ${task.waitsFor}`]),
      `added ${timeText(task.addedAt)}, ${task.endedAt === null ? `expires ${timeText(task.deadlineAt)}` : `ended ${timeText(task.endedAt)}`}`,
      ...problems(task, style),
      ...answerText(task, style),
      ...(task.results ?? []).map((result) => printable(JSON.stringify(result))),
    ].join('\n'),
});

function unitText({ units, unitStates }: TaskDetail): string {
  const parts = Object.entries(unitStates).map(([state, count]) => `${count} ${state}`);
  return `${countText(units, 'unit')}: ${parts.join(', ')}`;
}

function answerText({ answer, inputs }: TaskDetail, style: Style): string[] {
  if (answer === null) return [];
  const from = answer.from === inputs ? '' : style.dim(` (from ${answer.from} of ${inputs} results)`);
  if ('error' in answer) return [style.bad(printable(answer.error)) + from];
  return [`answer: ${style.bold(printable(JSON.stringify(answer.value)))}${from}`];
}

function problems({ unitList }: TaskDetail, style: Style): string[] {
  const rows = unitList
    .filter(({ error }) => error !== null)
    .slice(0, 20)
    .map(({ index, state, node, attempts, error }) => [
      ...[String(index), state, node ?? '', String(attempts)],
      style.bad(printable(error ?? '')),
    ]);
  return rows.length === 0 ? [] : [style.table(['unit', 'state', 'node', 'attempts', 'what went wrong'], rows)];
}

export const tasksCancel = defineCommand({
  name: ['tasks', 'cancel'],
  summary: 'End a task; what nodes hold of it is withdrawn',
  arguments: z.strictObject({ id }),
  positionals: ['id'],
  permission: 'write',
  run: async ({ id }, { controller }) => controller.tasks.cancel(id),
  render(task, style) {
    const hadEnded = task.state !== 'active' && task.state !== 'cancelled';
    return `task ${style.bold(task.id)}: ${hadEnded ? 'had ended before, ' : ''}${stateText(task, style)}`;
  },
});

function stateText({ state, ending }: TaskView, style: Style): string {
  if (ending) return style.dim('ending');
  if (state === 'succeeded') return style.good(state);
  return state === 'active' ? state : style.bad(state);
}

function countText(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}
