/** Tasks that come again and again. */
import { z } from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { type Schedule, scheduleSpecSchema } from '../tasks/schedule.ts';
import { whatText } from '../tasks/view.ts';
import { defineCommand } from './command.ts';
import { selectorText } from './selector-text.ts';
import { taskFlags, typedTask } from './tasks.ts';
import { printable, timeText } from './text.ts';

const name = nameSchema.describe('schedule');

export const schedulesAdd = defineCommand({
  name: ['schedules', 'add'],
  summary: 'Give the fleet a task again and again: at times, or whenever a message comes',
  arguments: scheduleSpecSchema,
  local: {
    arguments: z.strictObject({
      name,
      cron: z.string().optional().describe('when, as cron has it: "0 3 * * *" is every night at three'),
      timezone: z.string().optional().describe('of the times, such as Europe/Berlin (UTC)'),
      topic: z.string().optional().describe('MQTT filter: a task for a message, such as what a trigger publishes'),
      ...taskFlags,
    }),
    positionals: ['name'],
    async prepare({ name, cron, timezone, topic, ...typed }, { controller }) {
      if ((cron === undefined) === (topic === undefined))
        throw new Error('schedules add: expected either --cron or --topic');
      const when = topic === undefined ? { cron: cron as string, timezone } : { topic };
      return { name, when, task: await typedTask('schedules add', typed, controller) };
    },
  },
  permission: 'write',
  run: async (spec, { controller }) => controller.schedules.put(spec),
  render: (schedule, style) =>
    `${style.good('added')} schedule ${style.bold(schedule.spec.name)}: ${whatText(schedule.spec.task)} on ${selectorText(schedule.spec.task.selector)}, ${nextText(schedule)}`,
});

export const schedulesList = defineCommand({
  name: ['schedules', 'list'],
  summary: 'List the schedules: when they come next, and what became of the last time',
  arguments: z.strictObject({}),
  permission: 'read',
  run: async (_, { controller }) => controller.schedules.list(),
  render(all, style) {
    if (all.length === 0) return 'There are no schedules; "llmasos schedules add" makes one.';
    const rows = all.map((schedule) => {
      const { spec, lastAt, lastTask, problem } = schedule;
      return [
        ...[style.bold(spec.name), whatText(spec.task), whenText(schedule), nextText(schedule)],
        ...[timeText(lastAt), lastTask ?? '', style.bad(printable(problem ?? ''))],
      ];
    });
    return style.table(['schedule', 'what', 'when', 'next', 'last', 'its task', 'problem'], rows);
  },
});

export const schedulesRemove = defineCommand({
  name: ['schedules', 'remove'],
  summary: 'Remove a schedule; tasks that it gave go on',
  arguments: z.strictObject({ name }),
  positionals: ['name'],
  permission: 'write',
  async run({ name }, { controller }) {
    await controller.schedules.remove(name);
    return { name };
  },
  render: ({ name }, style) => `removed schedule ${style.bold(name)}`,
});

function whenText({ spec: { when } }: Schedule): string {
  return printable('topic' in when ? `message on ${when.topic}` : `${when.cron} ${when.timezone}`);
}

function nextText({ spec: { when }, nextAt }: Schedule): string {
  if ('topic' in when) return `with a message on ${printable(when.topic)}`;
  return nextAt === null ? 'never again' : `next ${timeText(nextAt)} UTC`;
}
