/** The benchmark of placement in its smallest size, so that it cannot rot. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const main = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));

test('the quick benchmark places a fleet, plays events and prints the lines that the acceptance reads', async () => {
  const flags = ['placement', '--quick', '--json', '--contenders', 'ours'];
  const { stdout } = await promisify(execFile)(process.execPath, [main, ...flags]);
  const gap = /^placement: \d+ ms, gap (\d+\.\d\d)%$/m.exec(stdout)?.[1];
  assert.ok(Number(gap) < 1, stdout);
  assert.match(stdout, /^placement, 40 events: p50 \d+\.\d\d ms, p99 \d+\.\d\d ms/m);
  assert.match(stdout, /^placement, baselines: first fit gap \d+(\.\d+)?%, random gap \d+(\.\d+)?%$/m);
  assert.match(stdout, /^placement, adversarial: worst gap 0\.\d\d% \(.+\)$/m);
  const record = stdout.split('\n').find((line) => line.startsWith('{')) as string;
  assert.is(JSON.parse(record).outcomes.length, 7);
});

test.run();
