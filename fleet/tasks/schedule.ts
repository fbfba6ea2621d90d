/** A schedule: a task that is given again and again, at times that a cron expression names, or when a message comes. No I/O, no clock. */
import { createHash } from 'node:crypto';
import { Cron } from 'croner';
import { z } from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { parseFilter } from '../../runtime/triggers/topic-filter.ts';
import { taskSpecSchema } from './task.ts';

/** What is left of a task's id for the schedule's name. */
const NAME_CHARACTERS_MAX = 40;

export const scheduleSpecSchema = z.strictObject({
  name: nameSchema.max(NAME_CHARACTERS_MAX),
  when: z.union(
    [
      z.strictObject({ cron: z.string().min(1).max(200), timezone: z.string().min(1).max(64).default('UTC') }),
      z.strictObject({ topic: z.string().min(1).max(1_000).describe('MQTT filter; such as what a trigger publishes') }),
    ],
    { error: 'expected {"cron": "0 3 * * *"} or {"topic": "line/+/alarm"}' },
  ),
  task: taskSpecSchema.omit({ id: true }),
});

export type ScheduleSpec = z.output<typeof scheduleSpecSchema>;

export interface Schedule {
  readonly spec: ScheduleSpec;
  readonly changedAt: number;
  /** Null where no time is to come: with messages, or when the expression names none any more. */
  readonly nextAt: number | null;
  readonly lastAt: number | null;
  readonly lastTask: string | null;
  /** Why there was no task the last time that there was to be one. */
  readonly problem: string | null;
}

/** Throws an Error that says what is wrong with the times or the topic. */
export function newSchedule(spec: ScheduleSpec, now: number): Schedule {
  const { name, when } = spec;
  try {
    if ('topic' in when) parseFilter(when.topic);
    return { spec, changedAt: now, nextAt: nextAfter(spec, now), lastAt: null, lastTask: null, problem: null };
  } catch (cause) {
    const what = 'topic' in when ? `topic "${when.topic}"` : `cron "${when.cron}" in ${when.timezone}`;
    throw new Error(
      `schedule "${name}": ${what}: ${(cause as Error).message}; expected five fields, minute to weekday, such as "0 3 * * MON-FRI", and a time zone such as Europe/Berlin, or an MQTT filter`,
      { cause },
    );
  }
}

/** Times that are over are not made up for one by one: after a night without a controller there is one task, not eight. */
function nextAfter({ when }: ScheduleSpec, now: number): number | null {
  if ('topic' in when) return null;
  const cron = new Cron(when.cron, { mode: '5-part', timezone: when.timezone });
  return cron.nextRun(new Date(now))?.getTime() ?? null;
}

/** What a schedule gives: the same for one time, or one message, however often it is asked. */
export function taskAt({ spec }: Schedule, occasion: number | { topic: string; payload: Uint8Array }) {
  const suffix =
    typeof occasion === 'number'
      ? new Date(occasion).toISOString().replace(/[-:]|\.\d+/g, '')
      : createHash('sha256').update(`${occasion.topic}\n`).update(occasion.payload).digest('hex').slice(0, 16);
  return { ...spec.task, id: `${spec.name}-${suffix}` };
}

/** The schedule after its time, or a message, has come: with the task that followed, or with the reason why none did. */
export function after(schedule: Schedule, now: number, outcome: { task: string } | { problem: string }): Schedule {
  const nextAt = nextAfter(schedule.spec, now);
  if ('problem' in outcome) return { ...schedule, nextAt, problem: outcome.problem };
  return { ...schedule, nextAt, lastAt: now, lastTask: outcome.task, problem: null };
}
