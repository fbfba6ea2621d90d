/** Schedules: times against the calendar, and against a controller that is killed at the wrong moment. */
import { join } from 'node:path';
import pino from 'pino';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { schedulesAdd, schedulesList } from '../../../fleet/commands/schedules.ts';
import { openFolder } from '../../../fleet/controller/blob-store.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import { openDatabase, sqliteDialect } from '../../../fleet/controller/database.ts';
import { after, newSchedule, type Schedule, scheduleSpecSchema, taskAt } from '../../../fleet/tasks/schedule.ts';
import { type SchedulePorts, ScheduleService } from '../../../fleet/tasks/schedule-service.ts';
import { TaskService } from '../../../fleet/tasks/task-service.ts';
import { eventually, ProtocolNode, refusalOf, temporary } from '../fleet-parts.ts';

const at = (text: string): number => Date.parse(text);
const spec = (when: object, changes: object = {}) =>
  scheduleSpecSchema.parse({ name: 'nightly', when, task: { work: { kind: 'command', command: 'logs' } }, ...changes });
const nextOf = (cron: string, timezone: string, now: string): string | undefined => {
  const { nextAt } = newSchedule(spec({ cron, timezone }), at(now));
  return nextAt === null ? undefined : new Date(nextAt).toISOString();
};

test('times are those of the time zone, also on the days when its clocks change', () => {
  assert.is(nextOf('0 3 * * *', 'UTC', '2026-11-30T03:00:00Z'), '2026-12-01T03:00:00.000Z');
  assert.is(nextOf('30 8 * * MON', 'Europe/Berlin', '2026-11-28T00:00:00Z'), '2026-11-30T07:30:00.000Z');
  // Clocks went from 02:00 to 03:00 on 2026-03-29, and back on 2026-10-25.
  assert.is(nextOf('30 8 * * *', 'Europe/Berlin', '2026-03-28T12:00:00Z'), '2026-03-29T06:30:00.000Z');
  assert.is(nextOf('30 8 * * *', 'Europe/Berlin', '2026-10-24T12:00:00Z'), '2026-10-25T07:30:00.000Z');
  assert.is(nextOf('0 0 29 2 *', 'UTC', '2026-11-30T00:00:00Z'), '2028-02-29T00:00:00.000Z');
  assert.is(nextOf('0 0 30 2 *', 'UTC', '2026-11-30T00:00:00Z'), undefined);
});

test('what cannot be is refused with the reason', () => {
  const refusal = (when: object): string => {
    try {
      newSchedule(spec(when), 0);
    } catch (error) {
      return (error as Error).message;
    }
    return '';
  };
  assert.match(
    refusal({ cron: '61 * * * *' }),
    /^schedule "nightly": cron "61 \* \* \* \*" in UTC: .*61.*; expected five/,
  );
  assert.match(refusal({ cron: '* * * * * *' }), /expected five fields/);
  assert.match(refusal({ cron: '0 3 * * *', timezone: 'Mars/Base' }), /in Mars\/Base: .*; expected five fields/);
  assert.match(refusal({ topic: 'a/#/b' }), /^schedule "nightly": topic "a\/#\/b": /);
  assert.not.ok(scheduleSpecSchema.safeParse({ name: 'x'.repeat(41), when: { cron: '* * * * *' } }).success);
});

test('the same time, or message, makes the same task; missed times make one, not many', () => {
  const schedule = newSchedule(spec({ cron: '0 * * * *' }), at('2026-11-30T00:30:00Z'));
  assert.is(taskAt(schedule, schedule.nextAt as number).id, 'nightly-20261130T010000Z');
  const later = after(schedule, at('2026-11-30T09:12:00Z'), { task: 'nightly-20261130T010000Z' });
  assert.is(later.nextAt, at('2026-11-30T10:00:00Z'));
  const message = (text: string) => taskAt(schedule, { topic: 't', payload: Buffer.from(text) }).id;
  assert.is(message('a'), message('a'));
  assert.is.not(message('a'), message('b'));
});

/** A controller's schedules on one disk, without timers of their own: `look` is what each second does. */
async function onOneDisk() {
  const folder = temporary();
  const file = join(folder, 'controller.sqlite');
  const database = await openDatabase(sqliteDialect(file), file);
  const blobs = await openFolder(join(folder, 'blobs'));
  const clock = { now: at('2026-11-30T00:00:30Z') };
  const log = pino({ enabled: false });
  const node = { name: 'n', labels: {} };
  const rest = { trace: undefined, committed() {}, connected: () => false, async publish() {}, nodes: () => [] };
  const software = { softwareHash: async () => '', giveSoftware: async () => {} };
  const ports = { database, log, now: () => clock.now, ...rest, ...software, allNodes: () => [node] };
  const tasks = await TaskService.open(ports, blobs);
  const begin = (changes: Partial<SchedulePorts['tasks']> = {}) => {
    const own = { add: tasks.add.bind(tasks), check: tasks.check.bind(tasks), ...changes };
    const ports = { database, log, now: () => clock.now, connected: () => false, watch: async () => {}, tasks: own };
    return new ScheduleService(ports);
  };
  const close = async () => {
    await tasks.desk.close();
    await database.destroy();
  };
  return { clock, tasks, begin, close };
}

test('a controller that is killed between a task and what is written of it gives no second one', async () => {
  const { clock, tasks, begin, close } = await onOneDisk();
  let given = 0;
  let end = (_: Error): void => {};
  const killed = begin({
    // The task is on the disk, and nothing more ever happens in this process.
    async add(task) {
      await tasks.add(task);
      given++;
      return new Promise((_, reject) => {
        end = reject;
      });
    },
  });
  await killed.put(spec({ cron: '* * * * *' }));
  clock.now = at('2026-11-30T00:01:00Z');
  await eventually('the task was given', () => given > 0);
  const next = begin();
  const [schedule] = await eventually('it is written', async () => {
    const all = await next.list();
    return all[0]?.lastTask === null ? undefined : all;
  });
  assert.equal([schedule?.lastTask, (await tasks.list()).length], ['nightly-20261130T000100Z', 1]);
  assert.is(schedule?.nextAt, at('2026-11-30T00:02:00Z'));
  clock.now = at('2026-11-30T00:07:00Z');
  const problem = await eventually(
    'it says why there is no other',
    async () => (await next.list())[0]?.problem ?? undefined,
  );
  assert.match(problem, /^its last task, "nightly-20261130T000100Z", had not ended/);
  assert.is((await tasks.list()).length, 1);
  await tasks.cancel('nightly-20261130T000100Z');
  clock.now = at('2026-11-30T00:08:30Z');
  await eventually('it goes on', async () => (await tasks.list()).length === 2);
  await next.remove('nightly');
  assert.match(await refusalOf(next.remove('nightly')), /^there is no schedule "nightly"/);
  end(new Error('killed'));
  await killed.close();
  await next.close();
  await close();
});

test('what cannot be given says why, and is tried again at its next time', async () => {
  const { clock, begin, close } = await onOneDisk();
  const service = begin();
  const nobody = spec(
    { cron: '* * * * *' },
    { task: { work: { kind: 'command', command: 'logs' }, selector: { nodes: ['x'] } } },
  );
  await service.put(nobody);
  clock.now = at('2026-11-30T00:01:00Z');
  const told = await eventually('it says why', async () =>
    (await service.list()).find(({ problem }) => problem !== null),
  );
  assert.match(told?.problem ?? '', /^task "nightly-20261130T000100Z": no node matches/);
  assert.is(told?.nextAt, at('2026-11-30T00:02:00Z'));
  await service.close();
  await close();
});

test('a message makes a task, typed on a command line; the same message again does not', async () => {
  const controller = await startController({ data: temporary(), mqttPort: 0, webSocketPort: 0, httpPort: 0 });
  const node = await ProtocolNode.join(controller.mqttUrl, 'city-1', { site: 'north' });
  await eventually('the node is registered', () => controller.service.nodes().then((all) => all[0]?.reported));
  const client = new ControllerClient(controller.httpUrl);
  const context = { controller: client, signal: new AbortController().signal, emit() {} };
  const style = { ...Object.fromEntries(['good', 'bad', 'dim', 'bold'].map((key) => [key, (text: string) => text])) };
  const plain = { ...style, table: (_: unknown, rows: string[][]) => rows.map((row) => row.join(' | ')).join('\n') };
  const typed = { name: 'alarm', topic: 'line/+/alarm', command: 'logs', label: ['site=north'] };
  const local = schedulesAdd.local;
  assert.ok(local);
  const given = await local.prepare(local.arguments.parse(typed), context);
  const added = await schedulesAdd.run(schedulesAdd.arguments.parse(given), context);
  assert.match(
    schedulesAdd.render(added, plain as never),
    /^added schedule alarm: command logs on nodes with site=north, with a message on line\/\+\/alarm$/,
  );
  // Until somebody listens, a message is gone: it is sent until there is a task.
  const count = async () => (await client.tasks.list()).length;
  await eventually('a task', async () => {
    await node.client.publishAsync('line/7/alarm', 'stop', { qos: 1 });
    return (await count()) > 0;
  });
  await node.client.publishAsync('line/7/alarm', 'stop', { qos: 1 });
  const [first] = await client.tasks.list();
  await client.tasks.cancel(first?.id as string);
  await node.client.publishAsync('line/8/alarm', 'stop', { qos: 1 });
  await eventually('another message, another task', async () => (await count()) === 2);
  const listed = schedulesList.render(await schedulesList.run({}, context), plain as never);
  assert.match(listed, /^alarm \| command logs \| message on line\/\+\/alarm \| .*alarm-[0-9a-f]{16}/);
  const [known] = (await client.schedules.list()) as Schedule[];
  assert.is(known?.problem, null);
  await node.leave();
  await controller.close();
});

test.run();
