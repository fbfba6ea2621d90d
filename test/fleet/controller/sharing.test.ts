/** Several controllers on Debian's PostgreSQL and mosquitto share tasks, and take them over from one that is killed or frozen. */
import { once } from 'node:events';
import { Client } from 'pg';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { SIMULATED_MODEL } from '../../../fleet/swarm/light-node-io.ts';
import { runSwarm } from '../../../fleet/swarm/swarm-io.ts';
import { taskSpecSchema } from '../../../fleet/tasks/task.ts';
import { freePort, hasMosquitto, startMosquitto } from '../../end-to-end/processes.ts';
import { testWhere } from '../../requirement.ts';
import {
  type ControllerProcess,
  eventually,
  freshDatabase,
  killProcesses,
  refusalOf,
  startProcess,
  temporary,
} from '../fleet-parts.ts';
import { hasPostgres, startPostgres } from '../postgres.ts';

const onBoth = testWhere(
  test,
  hasPostgres && hasMosquitto,
  "Debian's packages postgresql, mosquitto and mosquitto-clients",
);

if (hasPostgres) process.env.LLMASOS_TEST_POSTGRES = await startPostgres();

/** What a test that fails half-way leaves behind in this process. */
const endings: (() => void)[] = [];
test.after(() => {
  for (const end of endings) end();
  killProcesses();
});

const NODES = 6;
const UNITS = 20;

interface Sharing {
  readonly controllers: readonly ControllerProcess[];
  readonly services: readonly ControllerClient[];
  query(sql: string): Promise<Record<string, unknown>[]>;
  stop(): Promise<void>;
}

async function share(count: number): Promise<Sharing> {
  const broker = await startMosquitto(await freePort());
  const { database = '' } = await freshDatabase();
  const flags = ['--database', database, '--blobs', temporary(), '--broker', broker.url];
  const controllers: ControllerProcess[] = [];
  for (let index = 0; index < count; index++) controllers.push(await startProcess(temporary(), flags));
  const services = controllers.map(({ httpUrl }) => new ControllerClient(httpUrl));
  const ending = new AbortController();
  const load = { connectsPerSecond: 50, flapping: 0, prefix: 'light', labels: {}, nodes: NODES };
  const swarm = runSwarm({ broker: broker.url, ...load, signal: ending.signal }, () => {});
  for (const service of services)
    await eventually(
      'every node is online',
      async () => (await service.nodes()).filter(({ online }) => online).length === NODES,
    );
  const client = new Client(database);
  // It may be ended by a server that ends.
  client.on('error', () => {});
  await client.connect();
  endings.push(() => {
    ending.abort();
    void client.end();
  });
  return {
    controllers,
    services,
    query: async (sql) => (await client.query(sql)).rows,
    async stop() {
      await client.end();
      ending.abort();
      await swarm;
      for (const { child, kill } of controllers)
        if (child.exitCode === null && child.signalCode === null) await kill('SIGTERM');
      await broker.stop();
    },
  };
}

const inputs = Array.from({ length: UNITS }, () => ({ base64: 'e30=' }));
const work = { kind: 'inference', model: SIMULATED_MODEL, format: 'json', inputs, inputsPerUnit: 1 };
const taskOf = (id: string, changes: object = {}) => taskSpecSchema.parse({ id, work, ...changes });

/** Adds tasks, each to the next controller; resolves with those that were acknowledged. */
async function addTasks(services: readonly ControllerClient[], prefix: string, count: number): Promise<string[]> {
  const added: string[] = [];
  for (let index = 0; index < count; index++) {
    const service = services[index % services.length] as ControllerClient;
    const id = `${prefix}-${index}`;
    await service.tasks.add(taskOf(id)).then(
      () => added.push(id),
      () => {},
    );
  }
  return added;
}

async function allDone(service: ControllerClient, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    const task = await eventually(`task ${id} has ended`, async () => {
      const found = await service.tasks.show(id, true);
      return found.state === 'active' ? undefined : found;
    });
    assert.is(task.state, 'succeeded', `${id}: ${task.state}`);
    assert.is(task.results?.filter((result) => result !== null).length, UNITS);
  }
}

onBoth(
  'three controllers share tasks; what a killed one had goes on with the others, and nothing acknowledged is lost',
  async () => {
    const { controllers, services, query, stop } = await share(3);
    const [first, second, third] = services as [ControllerClient, ControllerClient, ControllerClient];

    // Any of them may be asked for any task.
    await first.tasks.add(taskOf('waits', { selector: { labels: { is: 'nowhere' } } }));
    assert.is((await third.tasks.add(taskOf('waits', { selector: { labels: { is: 'nowhere' } } }))).state, 'active');
    assert.match(await refusalOf(second.tasks.add(taskOf('waits'))), /another task has this id/);
    assert.is((await third.tasks.cancel('waits')).state, 'cancelled');

    const before = await addTasks(services, 'before', 30);
    const owners = await query('select distinct owner from tasks');
    assert.is(owners.length, 3);
    // One that does not lead, in the midst of its work.
    const during = addTasks(services, 'during', 90);
    const killed = controllers[1] as ControllerProcess;
    const killedMs = performance.now();
    await killed.kill('SIGKILL');
    const lost = await addTasks([second], 'after', 1);
    assert.equal(lost, []);
    const left = await eventually('the tasks of the killed one have an owner that is there', async () => {
      const [row] = await query(
        `select count(*) as orphans from tasks where state = 'active' and owner not in (select id from controllers)
         or (select count(*) from controllers) > 2`,
      );
      return row?.orphans === '0' ? performance.now() - killedMs : undefined;
    });
    // At most the lease's six seconds and two looks; on a loaded machine longer: shown, not held to.
    console.log(`tasks taken over after ${Math.round(left)} ms`);
    const acknowledged = [...before, ...(await during)];
    assert.ok(acknowledged.length >= 60, `${acknowledged.length} of 120 were taken`);
    await allDone(third, acknowledged);
    const [fences] = await query(
      'select count(*) as units, count(distinct fence) as fences from task_units where fence > 0',
    );
    assert.is(fences?.fences, fences?.units);
    await stop();
  },
);

onBoth('a controller that is frozen loses its tasks to another, changes nothing when it wakes, and ends', async () => {
  const { controllers, services, query, stop } = await share(2);
  const frozen = controllers[1] as ControllerProcess;
  const adding = addTasks(services.slice(1), 'frozen', 40);
  await eventually(
    'it has given units',
    async () => (await query('select 1 from task_units where fence > 0')).length > 0,
  );
  frozen.child.kill('SIGSTOP');
  await eventually('it was taken for dead', async () => (await query('select 1 from controllers')).length === 1);
  const meanwhile = await addTasks(services.slice(0, 1), 'meanwhile', 10);
  // 'exit' may come before the last of its output.
  const ended = once(frozen.child, 'close');
  frozen.child.kill('SIGCONT');
  assert.is((await ended)[0], 1);
  assert.match(frozen.output(), /another controller took over from this one; ending/, frozen.output());
  const acknowledged = [...meanwhile, ...(await adding)];
  await allDone(services[0] as ControllerClient, acknowledged);
  // Those that were committed without an answer, too.
  await eventually(
    'no task is left',
    async () => (await query(`select 1 from tasks where state = 'active'`)).length === 0,
  );
  const [fences] = await query(
    'select count(*) as units, count(distinct fence) as fences from task_units where fence > 0',
  );
  assert.is(fences?.fences, fences?.units);
  await stop();
});

test.run();
