import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

function run(file: string, ...flags: string[]) {
  const path = fileURLToPath(new URL(`../../../${file}`, import.meta.url));
  return spawnSync(process.execPath, [path, ...flags], { encoding: 'utf8' });
}

test('the simulator and the kill test say their usage when asked', () => {
  for (const [file, flag] of [
    ['fleet/simulator/main.ts', '--offline-days'],
    ['test/end-to-end/kill.ts', '--pause-ms'],
  ] as const) {
    const { status, stdout, stderr } = run(file, '--help');
    assert.equal([status, stderr], [0, ''], file);
    assert.ok(stdout.includes(flag), file);
  }
});

test('a flag that is none, or whose value is none, ends them with one line', () => {
  for (const [flags, expected] of [
    [['--sedes', '1'], /^Unknown option '--sedes'.*--help says what there is\n$/],
    [['--seeds', 'ten'], /^--seeds: expected a whole number of at least 0, got "ten"; --help says what there is\n$/],
    [['--jobs', '0'], /^--jobs: expected a whole number of at least 1/],
  ] as const) {
    const { status, stdout, stderr } = run('fleet/simulator/main.ts', ...flags);
    assert.equal([status, stdout], [2, '']);
    assert.match(stderr, expected);
  }
});

test.run();
