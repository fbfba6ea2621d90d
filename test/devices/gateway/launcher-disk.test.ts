/** The launcher as a process, on a disk that takes nothing: what worked goes on. */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readLaunchState } from '../../../devices/gateway/launch-state.ts';
import { softwareManifestSchema } from '../../../runtime/protocol/software.ts';
import { eventually, hashOf, temporary } from '../../fleet/fleet-parts.ts';

const launcher = fileURLToPath(new URL('../../../devices/gateway/launcher.ts', import.meta.url));

/** Puts a version of one file onto the disk, and gives its hash. */
function install(folder: string, version: string, program: string): string {
  const content = new TextEncoder().encode(program);
  const files = [{ path: 'main.mjs', sha256: hashOf(content), bytes: content.byteLength }];
  const manifest = softwareManifestSchema.parse({ version, node: '20.0.0', main: 'main.mjs', files });
  const text = new TextEncoder().encode(JSON.stringify(manifest));
  const sha256 = hashOf(text);
  mkdirSync(join(folder, sha256), { recursive: true });
  mkdirSync(join(folder, 'blobs'), { recursive: true });
  writeFileSync(join(folder, sha256, 'main.mjs'), content);
  writeFileSync(join(folder, 'blobs', sha256), text);
  return sha256;
}

test('on a full disk a trial is not begun, the good version serves, and is told that another cannot be noted', async () => {
  const data = temporary();
  const folder = join(data, 'software');
  const told = join(data, 'told');
  const other = install(folder, '2', 'setInterval(() => {}, 1000);');
  const good = install(
    folder,
    '1',
    `import { writeFileSync } from 'node:fs';
     const launched = JSON.parse(process.env.LLMASOS_LAUNCHED);
     process.on('message', (answer) => writeFileSync(${JSON.stringify(told)}, JSON.stringify({ launched, answer })));
     process.send({ type: 'try', program: '${other}' });
     setInterval(() => {}, 1000);`,
  );
  const state = { good, trial: { program: other, starts: 1 }, rejected: null };
  writeFileSync(join(folder, 'state.json'), JSON.stringify(state));
  // Nothing can be written where a folder stands, whoever runs this test.
  mkdirSync(join(folder, 'state.json.tmp'));
  const child = spawn(process.execPath, [launcher, '--data', data], { stdio: ['ignore', 'ignore', 'pipe'] });
  let words = '';
  child.stderr.on('data', (chunk) => {
    words += chunk;
  });
  try {
    await eventually('the good version has its answer', () => existsSync(told) && readFileSync(told, 'utf8') !== '');
    const { launched, answer } = JSON.parse(readFileSync(told, 'utf8'));
    assert.is(launched.program, good);
    assert.is(launched.isTrial, false);
    assert.is(answer.type, 'noted');
    assert.match(answer.error, /EISDIR/);
    assert.match(words, /the version on trial waits, the one before starts/);
    assert.is(child.exitCode, null, 'the launcher lives');
    assert.equal(readLaunchState(readFileSync(join(folder, 'state.json'), 'utf8')), state, 'the disk is as it was');
    rmSync(join(folder, 'state.json.tmp'), { recursive: true });
  } finally {
    child.kill('SIGTERM');
  }
});

test.run();
