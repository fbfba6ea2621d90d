/** What a person sees who types `npm start -- --once`, and who starts a second time. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cleanUp, newFolder } from '../devices/gateway/bench.ts';
import { eventually } from '../fleet/fleet-parts.ts';
import { freePort, isListening } from './processes.ts';

const run = join(import.meta.dirname, '../../scripts/run.mjs');
const demonstration = 'examples/fleet-in-a-box/main.ts';
const data = newFolder();
const ports = { '--mqtt-port': await freePort(), '--ws-port': await freePort(), '--http-port': await freePort() };

function start(...flags: string[]) {
  const given = Object.entries(ports).flatMap(([flag, port]) => [flag, String(port)]);
  const child = spawn(process.execPath, [run, demonstration, '--data', data, ...given, ...flags]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  return { child, output: () => output, closed: once(child, 'close') as Promise<[number | null]> };
}

async function nothingListens(): Promise<void> {
  for (const [flag, port] of Object.entries(ports))
    assert.is(await isListening(port), false, `${flag} is still served`);
}

test('--once ends with code 0 and the table, after 20 right answers of every trigger', async () => {
  const { closed, output } = start('--once');
  assert.is((await closed)[0], 0, output());
  assert.is(output().match(/Registering the model/g)?.length, 4);
  assert.match(output(), /First right answer after/);
  for (const trigger of ['vehicle-speed-limit', 'factory-labels', 'city-speech']) {
    const line = output()
      .split('\n')
      .find((candidate) => candidate.startsWith(trigger));
    const [messages, results, right] = (line?.match(/ \d+(?= )/g) ?? []).map(Number) as [number, number, number];
    assert.ok(right >= 20, line);
    assert.ok(messages >= right && results > 0, line);
  }
  await nothingListens();
});

test('a second start registers nothing anew, answers, and a signal ends every process cleanly', async () => {
  const { child, closed, output } = start();
  await eventually('a right answer', () => output().includes('First right answer'));
  assert.not.match(output(), /Registering/);
  const busy = start();
  assert.is((await busy.closed)[0], 1);
  assert.match(busy.output(), /--mqtt-port \d+: the port is in use; stop what listens there or choose another port/);
  child.kill('SIGTERM');
  assert.is((await closed)[0], 0, output());
  await nothingListens();
});

test.after(cleanUp);
test.run();
