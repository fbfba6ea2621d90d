/** Real child processes: they are restarted, stopped in order, and end when their supervisor is killed. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createSupervisor } from '../../../fleet/cli/supervisor.ts';
import { eventually, temporary } from '../fleet-parts.ts';
import { isAlive } from './terminal.ts';

const file = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** A program that notes its start and its end in `notes`. */
function program(folder: string, body: string): string {
  const path = join(folder, 'program.mjs');
  const head = `import { appendFileSync } from 'node:fs';\nconst note = (text) => appendFileSync(${JSON.stringify(join(folder, 'notes'))}, text + '\\n');\n`;
  writeFileSync(path, `${head}const name = process.argv[2];\n${body}`);
  return path;
}

function notes(folder: string): string[] {
  const path = join(folder, 'notes');
  return existsSync(path) ? readFileSync(path, 'utf8').trim().split('\n') : [];
}

const patient = `note('started ' + name);
setInterval(() => {}, 1000);
process.on('SIGTERM', () => { note('stopped ' + name); process.exit(0); });`;

test('what ends is started again, later each time, and its output is kept', async () => {
  const folder = temporary();
  const told: string[] = [];
  const supervisor = createSupervisor(join(folder, 'logs'), (name, reason) => told.push(`${name} ${reason}`));
  const body = "note(String(Date.now()));\nconsole.log('no luck');\nprocess.exit(3);";
  const running = supervisor.start({ name: 'unlucky', file: program(folder, body), arguments: [] });
  await eventually('three starts', () => notes(folder).length >= 3);
  await supervisor.stop();
  assert.is(running.restarts(), notes(folder).length - 1);
  assert.match(told[0] ?? '', /^unlucky exited with code 3; its log is .*unlucky\.log$/);
  const [first, second, third] = notes(folder).map(Number) as [number, number, number];
  // A lower bound only: how long a start takes is the machine's affair.
  assert.ok(second - first >= 250 && third - second >= 500, `started at ${first}, ${second}, ${third}`);
  assert.match(readFileSync(join(folder, 'logs/unlucky.log'), 'utf8'), /^no luck\nno luck\n/);
});

test('kill -9 of a child is noticed, and another takes its place', async () => {
  const folder = temporary();
  const told: string[] = [];
  const supervisor = createSupervisor(join(folder, 'logs'), (name, reason) => told.push(`${name} ${reason}`));
  const running = supervisor.start({ name: 'one', file: program(folder, patient), arguments: ['one'] });
  await eventually('it runs', () => notes(folder).length === 1);
  const before = running.pid() as number;
  process.kill(before, 'SIGKILL');
  await eventually('it runs again', () => notes(folder).length === 2);
  assert.is.not(running.pid(), before);
  assert.match(told[0] ?? '', /^one was ended by SIGKILL/);
  await supervisor.stop();
});

test('stop ends the children in reverse order, each before the next, and restarts none', async () => {
  const folder = temporary();
  const supervisor = createSupervisor(join(folder, 'logs'), () => {});
  const main = program(folder, patient);
  for (const name of ['a', 'b', 'c']) supervisor.start({ name, file: main, arguments: [name] });
  await eventually('all run', () => notes(folder).length === 3);
  const pids = supervisor.running().map((one) => one.pid() as number);
  await supervisor.stop();
  assert.equal(notes(folder).slice(3), ['stopped c', 'stopped b', 'stopped a']);
  assert.is(pids.length, 3);
  assert.not.ok(pids.some(isAlive));
});

test('children end when their supervisor is killed with kill -9', async () => {
  const folder = temporary();
  mkdirSync(join(folder, 'logs'));
  const child = program(
    folder,
    `import { onStop } from ${JSON.stringify(new URL('../../../runtime/node/stop-io.ts', import.meta.url).href)};
onStop((reason) => { note(reason); process.exit(0); });
note(String(process.pid));
setInterval(() => {}, 1000);`,
  );
  const parent = join(folder, 'parent.mjs');
  writeFileSync(
    parent,
    `import { createSupervisor } from ${JSON.stringify(file('fleet/cli/supervisor.ts'))};
const supervisor = createSupervisor(${JSON.stringify(join(folder, 'logs'))}, () => {});
supervisor.start({ name: 'child', file: ${JSON.stringify(child)}, arguments: [] });`,
  );
  const supervisor = spawn(process.execPath, [parent], { stdio: 'inherit' });
  const pid = Number(await eventually('the child runs', () => notes(folder)[0]));
  assert.ok(isAlive(pid));
  supervisor.kill('SIGKILL');
  await eventually('the child has ended', () => !isAlive(pid));
  assert.is(notes(folder)[1], 'the process that started this one is gone');
});

test.run();
