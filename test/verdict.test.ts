import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge } from './verdict.ts';

const uvu = `import { test } from 'uvu';\n`;
const cases: [title: string, source: string, passes: boolean][] = [
  ['a file with a passing test', `${uvu}test('a', () => {}); test.run();`, true],
  ['a file with a failing test', `${uvu}test('a', () => { throw new Error('no'); }); test.run();`, false],
  ['an empty file', '', false],
  ['a file that never calls run', `${uvu}test('a', () => {});`, false],
  ['a file that throws outside a test', `${uvu}test('a', () => {}); test.run(); throw new Error('outside');`, false],
  [
    'a file that throws a non-Error later',
    `${uvu}test('a', () => {}); test.run(); setTimeout(() => { throw 1; }, 20);`,
    false,
  ],
  ['a file that leaves .only behind', `${uvu}test.only('a', () => {}); test('b', () => {}); test.run();`, false],
  ['a test that never settles', `${uvu}test('a', () => new Promise(() => {})); test.run();`, false],
  [
    'a before hook that throws',
    `${uvu}test.before(() => { throw new Error('no'); }); test('a', () => {}); test.run();`,
    false,
  ],
  ['a skipped test that says why', `console.log('skipped: a (needs a broker)');`, true],
  ['a skipped test without a reason', `${uvu}test.skip('a', () => {}); test('b', () => {}); test.run();`, false],
];

test('a file passes only when it proves that its tests ran', () => {
  const folder = mkdtempSync(fileURLToPath(new URL('fixtures-', import.meta.url)));
  try {
    for (const [title, source, passes] of cases) {
      writeFileSync(`${folder}/case.ts`, source);
      const run = spawnSync(process.execPath, [`${folder}/case.ts`], {
        encoding: 'utf8',
        env: { ...process.env, NO_COLOR: '1' },
      });
      const verdict = judge(run.stdout + run.stderr, run.status);
      assert.is(verdict.problem === undefined, passes, `${title}: ${verdict.problem}\n${verdict.output}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test.run();
