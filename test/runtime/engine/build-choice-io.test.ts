import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cacheFolder, keepBuild, recallBuild } from '../../../runtime/engine/build-choice-io.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';

const root = mkdtempSync(join(tmpdir(), 'llmasos-choice-'));
test.after(() => rmSync(root, { recursive: true }));

const choice = { build: 'plain', notes: ['relaxed: this host does not know relaxed SIMD'] } as const;
const newFolder = () => mkdtempSync(join(root, 'case-'));

test('a choice that was kept is recalled, from a folder that was made for it', () => {
  const folder = join(newFolder(), 'new', 'folder');
  assert.is(recallBuild(folder), undefined);
  assert.ok(keepBuild(folder, choice));
  assert.equal(recallBuild(folder), choice);
  assert.equal(readdirSync(folder), ['kernels.json']);
});

test('a damaged file is no choice', () => {
  const folder = newFolder();
  keepBuild(folder, choice);
  const file = join(folder, 'kernels.json');
  const good = readFileSync(file, 'utf8');
  const kept = JSON.parse(good);
  const damaged = [
    '',
    'null',
    '[]',
    '7',
    good.slice(0, -9),
    JSON.stringify({ ...kept, build: 'fast' }),
    JSON.stringify({ ...kept, build: 'constructor' }),
    JSON.stringify({ ...kept, build: undefined }),
    JSON.stringify({ ...kept, notes: 'none' }),
    JSON.stringify({ ...kept, notes: [1] }),
    JSON.stringify({ ...kept, notes: new Array(1000).fill('') }),
  ];
  for (const text of damaged) {
    writeFileSync(file, text);
    assert.is(recallBuild(folder), undefined, text);
  }
  writeFileSync(file, good);
  assert.equal(recallBuild(folder), choice);
});

test('a choice made on another machine, by another V8 or for other kernels does not count', () => {
  const folder = newFolder();
  keepBuild(folder, choice);
  const file = join(folder, 'kernels.json');
  const kept = JSON.parse(readFileSync(file, 'utf8'));
  const parts: string[] = kept.madeFor.split(', ');
  assert.ok(parts.length >= 5);
  parts.forEach((_, index) => {
    const madeFor = parts.with(index, 'another').join(', ');
    writeFileSync(file, JSON.stringify({ ...kept, madeFor }));
    assert.is(recallBuild(folder), undefined, madeFor);
  });
});

test('where nothing can be written the engine starts all the same, and tries the kernels each time', async () => {
  // A file in the place of the folder stops even those who may write everywhere.
  const folder = join(newFolder(), 'file');
  writeFileSync(folder, '');
  assert.not(keepBuild(join(folder, 'below'), choice));
  assert.not(keepBuild(folder, choice));
  for (let start = 0; start < 2; start++) {
    const engine = await createEngine({ cacheFolder: folder });
    assert.is(engine.info.choice, 'tried now');
    await engine.close();
  }
  const taken = newFolder();
  mkdirSync(join(taken, 'kernels.json'));
  assert.not(keepBuild(taken, choice));
  assert.equal(readdirSync(taken), ['kernels.json']);
});

test('an engine keeps what it chose, and the next one takes it', async () => {
  const folder = newFolder();
  const first = await createEngine({ cacheFolder: folder });
  const second = await createEngine({ cacheFolder: folder });
  assert.is(first.info.choice, 'tried now');
  assert.is(second.info.choice, 'kept from an earlier start');
  assert.is(second.info.build, first.info.build);
  assert.equal(second.info.notes, first.info.notes);
  const asked = await createEngine({ cacheFolder: folder, build: 'plain' });
  assert.is(asked.info.choice, 'asked for');
  await Promise.all([first, second, asked].map((engine) => engine.close()));
});

test('the user’s cache folder is where the XDG specification says', () => {
  const { XDG_CACHE_HOME: before } = process.env;
  process.env.XDG_CACHE_HOME = '/somewhere';
  assert.is(cacheFolder(), '/somewhere/llmasos');
  process.env.XDG_CACHE_HOME = 'relative';
  assert.match(cacheFolder(), /^\/.*\.cache\/llmasos$/);
  if (before === undefined) delete process.env.XDG_CACHE_HOME;
  else process.env.XDG_CACHE_HOME = before;
});

test.run();
