/** Versions of the node's own program, on real bundles in real processes: a controller, a launcher and what it starts. */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { ControllerClient } from '../../../fleet/api/client.ts';
import { softwareAdd } from '../../../fleet/commands/software.ts';
import { startController } from '../../../fleet/controller/controller.ts';
import type { SoftwareView } from '../../../fleet/controller/software-service.ts';
import { rolloutSpecSchema } from '../../../fleet/rollouts/spec.ts';
import { taskSpecSchema } from '../../../fleet/tasks/task.ts';
import { cleanUp, connectClient, localFiles } from '../../devices/gateway/bench.ts';
import { Random } from '../../random.ts';
import { eventually, hashOf, refusalOf, temporary } from '../fleet-parts.ts';

const root = fileURLToPath(new URL('../../../', import.meta.url));
const data = temporary();
const controller = await startController({ data, mqttPort: 0, webSocketPort: 0, httpPort: 0 });
const service = new ControllerClient(controller.httpUrl);
const machine = join(temporary(), 'gateway');
const launchers = new Set<ChildProcess>();

test.before(async () => {
  await promisify(execFile)(process.execPath, [join(root, 'scripts/build.mjs'), machine]);
});

test.after(async () => {
  for (const child of launchers) child.kill('SIGKILL');
  await controller.close();
  cleanUp();
});

/** A bundle of another version: the same program, which says another version of itself, or what `change` makes of it. */
async function register(version: string, change: (folder: string) => void = () => {}): Promise<SoftwareView> {
  const folder = join(temporary(), version);
  cpSync(machine, folder, { recursive: true });
  const main = join(folder, 'main.js');
  const before = readFileSync(main, 'utf8');
  const after = before.replaceAll(/version:"0\.1\.0"/g, `version:"${version}"`);
  assert.is.not(after, before, 'the bundle carries its version');
  writeFileSync(main, after);
  change(folder);
  const signal = new AbortController().signal;
  const given = await softwareAdd.local?.prepare({ folder, version } as never, { controller: service, signal });
  return softwareAdd.run(given as never, { controller: service, signal, emit: () => {} }) as Promise<SoftwareView>;
}

const folders = new Map<string, string[]>();

/** Starts the launcher on the node's folder, as a system's supervisor would, the first time and again. */
function launch(name: string, ...more: string[]): ChildProcess {
  const { models, triggers } = localFiles();
  const made = ['--data', temporary(), '--models', models, '--triggers', triggers, '--labels', `name=${name}`, ...more];
  const flags = folders.get(name) ?? made;
  folders.set(name, flags);
  const child = spawn(
    process.execPath,
    [join(machine, 'launcher.js'), '--name', name, '--broker', controller.mqttUrl, ...flags, '--log', 'warn'],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
  launchers.add(child.on('exit', () => launchers.delete(child)));
  return child;
}

const softwareOf = async (name: string) => (await service.nodes()).find((node) => node.name === name)?.reported;

const runs = (name: string, version: string) =>
  eventually(`${name} runs ${version}`, async () => {
    const reported = await softwareOf(name);
    const { software } = reported ?? {};
    return (
      software?.version === version &&
      !software.provisional &&
      !software.update &&
      reported?.inventory.version === version
    );
  });

/** Rolls the version out, the node of this name first. */
const begin = (version: string, first: string) =>
  service.rollouts.start(
    rolloutSpecSchema.parse({
      target: { kind: 'software', version },
      phases: [{ labels: { name: first } }],
      ...{ soakMs: 0, phaseTimeoutMs: 300_000 },
    }),
  );

const outcome = (id: string) =>
  eventually(`rollout ${id} ends`, async () => {
    const rollout = await service.rollouts.show(id);
    return rollout.endedAt === null ? undefined : rollout;
  });

/** Sends numbered messages until it is told to stop; then waits for the answer to each that the broker acknowledged. */
async function underLoad(work: () => Promise<void>): Promise<number> {
  const client = await connectClient(controller.mqttUrl, ['answers/#'], {
    clientId: `load-${randomInt(1e9)}`,
    clean: false,
  });
  const acknowledged = new Set<number>();
  const going = { on: true };
  const sending = (async () => {
    for (let id = 0; going.on; id++) {
      await client.send('sensors/load/values', { id, v: [1, 5, 3] });
      acknowledged.add(id);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  })();
  try {
    await work();
  } finally {
    going.on = false;
    await sending;
  }
  const missing = () => {
    const answered = new Set(client.heard.map(({ json }) => json.id));
    return [...acknowledged].filter((id) => !answered.has(id));
  };
  await eventually('every acknowledged message is answered', () => missing().length === 0);
  await client.mqtt.endAsync();
  return acknowledged.size;
}

test('a node goes on as another version of its program, through kill -9 of all of it, and loses no acknowledged message', async () => {
  const seed = randomInt(2 ** 31);
  console.error(`  seed ${seed}`);
  const random = new Random(seed);
  let launcher = launch('city-1');
  await runs('city-1', '0.1.0');
  const added = await register('0.2.0');
  assert.is(added.released, false);
  assert.equal(
    (await service.software.list()).map(({ version }) => version),
    ['0.2.0'],
  );
  const sent = await underLoad(async () => {
    const { id } = await begin('0.2.0', 'city-1');
    for (let kill = 0; kill < 2; kill++) {
      await new Promise((resolve) => setTimeout(resolve, random.below(8_000)));
      const gone = once(launcher, 'exit');
      launcher.kill('SIGKILL');
      await gone;
      launcher = launch('city-1');
    }
    const rollout = await outcome(id);
    assert.is(rollout.state, 'finished', `${rollout.reason}`);
    await runs('city-1', '0.2.0');
  });
  assert.ok(sent > 50, `only ${sent} messages`);
  assert.is((await service.software.list())[0]?.released, true);
  assert.match(await refusalOf(service.software.remove('0.2.0')), /is what nodes get/);
});

test('what is no program ends as a failed update with the reason, and the version before serves', async () => {
  await register('0.3.0', (folder) => writeFileSync(join(folder, 'main.js'), 'this is no program'));
  const sent = await underLoad(async () => {
    const rollout = await outcome((await begin('0.3.0', 'city-1')).id);
    assert.is(rollout.state, 'stopped');
    assert.match(rollout.reason as string, /city-1: ended each of the 3 times that it was started: .*SyntaxError/);
    await runs('city-1', '0.2.0');
  });
  assert.ok(sent > 0);
});

test('a file with other bytes than were registered is never started', async () => {
  let content = '';
  await register('0.4.0', (folder) => {
    appendFileSync(join(folder, 'main.js'), '\n// 0.4.0');
    content = hashOf(readFileSync(join(folder, 'main.js')));
  });
  writeFileSync(join(data, 'blobs', content), readFileSync(join(data, 'blobs', content)).fill(32));
  const rollout = await outcome((await begin('0.4.0', 'city-1')).id);
  assert.is(rollout.state, 'stopped');
  assert.match(rollout.reason as string, /city-1: .*expected SHA-256/);
  await runs('city-1', '0.2.0');
});

test('a held node fetches the version and changes when it is released', async () => {
  await register('0.5.0', (folder) => appendFileSync(join(folder, 'main.js'), '\n// 0.5.0'));
  const client = await connectClient(controller.mqttUrl, [], { clientId: 'city-1.ignition' });
  await client.send('llmasos/v1/nodes/city-1/hold', { hold: true, reason: 'in motion' });
  await eventually('it is held', async () => (await softwareOf('city-1'))?.held === 'in motion');
  const { id } = await begin('0.5.0', 'city-1');
  await eventually(
    'it has the version and waits',
    async () => (await softwareOf('city-1'))?.software?.update?.state === 'downloaded',
  );
  await eventually('the rollout says so', async () => {
    const [node] = (await service.rollouts.show(id)).nodeList;
    return node?.execution === 'downloaded' && node.details === 'held: in motion';
  });
  await new Promise((resolve) => setTimeout(resolve, 2_000));
  assert.is((await softwareOf('city-1'))?.software?.version, '0.2.0');
  await client.send('llmasos/v1/nodes/city-1/hold', { hold: false });
  assert.is((await outcome(id)).state, 'finished');
  await runs('city-1', '0.5.0');
  await client.mqtt.endAsync();
});

test('a task brings one node a version, through its restart, and a version that fails is a task that failed', async () => {
  const add = (version: string) =>
    service.tasks.add(
      taskSpecSchema.parse({ work: { kind: 'update', version }, selector: { nodes: ['city-1'] }, timeoutMs: 300_000 }),
    );
  const ended = (id: string) =>
    eventually(`task ${id} ends`, async () => {
      const task = await service.tasks.show(id, true);
      return task.state === 'active' ? undefined : task;
    });
  const task = await ended((await add('0.2.0')).id);
  assert.is(task.state, 'succeeded', JSON.stringify(task.unitList));
  assert.equal(task.results, ['0.2.0']);
  await runs('city-1', '0.2.0');
  assert.match(await refusalOf(service.software.remove('0.2.0')), /is what city-1 get/);
  const failed = await ended((await add('0.3.0')).id);
  assert.is(failed.state, 'failed');
  assert.match(`${failed.unitList[0]?.error}`, /each of the 3 times/);
  assert.match(await refusalOf(add('9.9.9')), /there is no software 9\.9\.9; there are/);
  await ended((await add('0.5.0')).id);
  await runs('city-1', '0.5.0');
});

test('a version that never becomes healthy is ended and the one before comes back', async () => {
  launch('slow-1', '--trial', '45');
  // What every node gets by now.
  await runs('slow-1', '0.5.0');
  await register('0.6.0', (folder) => writeFileSync(join(folder, 'main.js'), 'setInterval(() => {}, 1000);'));
  const rollout = await outcome((await begin('0.6.0', 'slow-1')).id);
  assert.is(rollout.state, 'stopped');
  assert.match(rollout.reason as string, /slow-1: did not prove itself within 45 s: it never said how it was/);
  await runs('slow-1', '0.5.0');
  assert.is((await softwareOf('city-1'))?.software?.version, '0.5.0', 'no other node was touched');
  await service.software.remove('0.6.0');
});

test.run();
