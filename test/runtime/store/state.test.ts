import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { openDatabase, openState, transaction } from '../../../runtime/store/state.ts';

const folder = mkdtempSync(join(tmpdir(), 'state-'));

test('documents are kept across a restart, replaced and deleted', () => {
  const file = join(folder, 'documents.db');
  const state = openState(file);
  state.set('desired', { version: 1 });
  state.set('desired', { version: 2, names: ['ä'] });
  state.set('gone', 1);
  state.delete('gone');
  state.close();
  const again = openState(file);
  assert.equal(again.get('desired'), { version: 2, names: ['ä'] });
  assert.is(again.get('gone'), undefined);
  again.close();
});

test('a database grows with the schema, step by step, and an older program refuses a newer one', () => {
  const file = join(folder, 'schema.db');
  openDatabase(file, ['CREATE TABLE a (x)']).close();
  const database = openDatabase(file, ['CREATE TABLE a (x)', 'CREATE TABLE b (x)']);
  database.exec('INSERT INTO a VALUES (1); INSERT INTO b VALUES (1)');
  database.close();
  assert.throws(() => openDatabase(file, ['CREATE TABLE a (x)']), /expected schema version 1 or older, got 2/);
});

test('a schema step that fails leaves the version as it was', () => {
  const file = join(folder, 'half.db');
  assert.throws(() => openDatabase(file, ['CREATE TABLE a (x)', 'CREATE TABLE b (x); nonsense']), /half.db/);
  const database = openDatabase(file, ['CREATE TABLE a (x)', 'CREATE TABLE b (x)']);
  database.close();
});

test('a file that is no database is named in the error', () => {
  const file = join(folder, 'text.db');
  writeFileSync(file, 'this is not a database, however long it may be'.repeat(100));
  assert.throws(() => openState(file), /text\.db: cannot be opened as a database/);
});

test('a transaction that throws changes nothing', () => {
  const database = openDatabase(join(folder, 'rollback.db'), ['CREATE TABLE a (x)']);
  const fail = () =>
    transaction(database, () => {
      database.exec('INSERT INTO a VALUES (1)');
      throw new Error('no');
    });
  assert.throws(fail, /no/);
  assert.is(database.prepare('SELECT count(*) AS n FROM a').get()?.n, 0);
  database.close();
});

test('what was reported as written is there after kill -9', async () => {
  const source = fileURLToPath(new URL('../../../runtime/store/state.ts', import.meta.url));
  let written = -1;
  let rounds = 0;
  for (; rounds < 3; rounds++) {
    const file = join(folder, `kill-${rounds}.db`);
    const program = `import { openState } from ${JSON.stringify(source)};
      const state = openState(${JSON.stringify(file)});
      for (let n = 0; ; n++) { state.set('n', n); process.stdout.write(n + '\\n'); }`;
    const child: ChildProcess = spawn(process.execPath, ['--input-type=module', '-e', program]);
    written = await new Promise<number>((resolve) => {
      let last = -1;
      child.stdout?.setEncoding('utf8').on('data', (text: string) => {
        last = Number(text.slice(0, text.lastIndexOf('\n')).split('\n').at(-1) || last);
        if (last > 20 * (rounds + 1)) child.kill('SIGKILL');
      });
      child.on('close', () => resolve(last));
    });
    const state = openState(file);
    assert.ok(Number(state.get('n')) >= written, `round ${rounds}: ${state.get('n')} < ${written}`);
    state.close();
  }
  assert.ok(written > 20);
  assert.is(rounds, 3);
});

test.after(() => rmSync(folder, { recursive: true, force: true }));
test.run();
