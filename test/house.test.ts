/** The rules of the house (docs/architecture.md), held by a test instead of a reviewer. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('..', import.meta.url));
const listed = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
const sources = listed.split('\n').filter((name) => /\.(ts|mjs|js)$/.test(name));
const text = new Map(sources.map((name) => [name, readFileSync(join(root, name), 'utf8')]));
const inHouse = sources.filter((name) => /^(assembly|runtime|devices|fleet)\//.test(name));

const LINES_MAX = 400;
const floors = ['assembly', 'runtime', 'devices', 'fleet', 'examples', 'bench', 'test'];

/** Files that are started, not imported. */
const entries = [
  'assembly/index.ts',
  'devices/gateway/launcher.ts',
  'devices/gateway/main.ts',
  'fleet/main.ts',
  'fleet/cli/main.ts',
  'fleet/simulator/main.ts',
  'runtime/engine/compile-worker.ts',
  'runtime/engine/core-worker.ts',
  'fleet/simulator/seed-worker.ts',
  'runtime/offload/onnxruntime-worker.ts',
];

/** The edges: the only files of the runtime and the fleet that may read a clock, draw lots or open a socket. */
const edges = /(^|\/)(main|[a-z-]*-io|[a-z-]*-worker)\.ts$|^(devices\/gateway|fleet\/(api|cli))\//;

const bans: [pattern: RegExp, instead: string][] = [
  [/\bDate\.now\(|\bnew Date\(\)/, 'take the time as an argument'],
  [/\bMath\.random\(/, 'take a seeded source or an id as an argument'],
  [/from 'node:(net|http|https|tls|dgram)'|from '(mqtt|ws|aedes)'/, 'open sockets in an edge file and pass messages'],
];

function importsOf(name: string): string[] {
  const found = text.get(name)?.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+)'/g) ?? [];
  return [...found].map((match) => relative(root, resolve(root, dirname(name), match[1] as string)));
}

test('a folder imports only itself and what stands to its left', () => {
  let seen = 0;
  for (const name of sources)
    for (const target of importsOf(name)) {
      const from = floors.indexOf(name.split('/')[0] as string);
      const to = floors.indexOf(target.split('/')[0] as string);
      if (from < 0 || to < 0) continue;
      seen++;
      assert.ok(to <= from, `${name} imports ${target}: expected ${floors.join(' ← ')}`);
    }
  assert.ok(seen > 100, `saw only ${seen} imports`);
});

test('nothing imports in a circle', () => {
  const state = new Map<string, 'open' | 'done'>();
  const visit = (name: string, path: readonly string[]): void => {
    if (state.get(name) === 'done') return;
    assert.is.not(state.get(name), 'open', `circle: ${[...path, name].join(' → ')}`);
    state.set(name, 'open');
    // Type imports vanish at run time, so two files may name each other's types.
    const body = (text.get(name) ?? '').replace(/import type [^;]*;/g, '');
    for (const match of body.matchAll(/from\s*'(\.[^']+)'/g))
      visit(relative(root, resolve(root, dirname(name), match[1] as string)), [...path, name]);
    state.set(name, 'done');
  };
  for (const name of inHouse) visit(name, []);
  assert.ok(state.size > 50, `saw only ${state.size} files`);
});

test(`no file is longer than ${LINES_MAX} lines`, () => {
  for (const [name, body] of text) {
    const lines = body.split('\n').length - 1;
    assert.ok(
      lines <= LINES_MAX,
      `${name} has ${lines} lines: expected at most ${LINES_MAX}; would a reader look for two things here?`,
    );
  }
});

test('only the edges read clocks, draw lots or open sockets', () => {
  for (const name of inHouse.filter((candidate) => /^(runtime|fleet)\//.test(candidate) && !edges.test(candidate)))
    for (const [pattern, instead] of bans) {
      const line = (text.get(name) ?? '').split('\n').findIndex((candidate) => pattern.test(candidate));
      assert.is(line, -1, `${name}:${line + 1}: ${pattern}: ${instead}`);
    }
});

test('no source file is left that nobody imports', () => {
  const imported = new Set(sources.flatMap(importsOf));
  for (const name of inHouse) {
    if (entries.includes(name) || imported.has(name)) continue;
    assert.unreachable(`${name} is imported by nobody: delete it, or list it among the entries`);
  }
});

test('every test file runs its tests and leaves no .only or .skip behind', () => {
  const tests = sources.filter((name) => name.endsWith('.test.ts') && name !== 'test/verdict.test.ts');
  for (const name of tests) {
    const body = text.get(name) as string;
    assert.match(body, /\.run\(\)|againOnPostgres\(/, `${name} never calls .run()`);
    assert.not.match(body, /\.(only|skip)\(/, `${name} leaves .only or .skip behind`);
  }
  assert.ok(tests.length > 20, `saw only ${tests.length} test files`);
});

test('no machine path and no registry host is written into the project', () => {
  const forbidden = /\/(work|root|home)\/[a-z]|registry\.[a-z]+\.[a-z]+|"resolved":/;
  const names = listed
    .split('\n')
    .filter((name) => /\.(ts|mjs|js|json|md|ya?ml)$/.test(name) && name !== 'test/house.test.ts');
  for (const name of names) {
    const line = readFileSync(join(root, name), 'utf8')
      .split('\n')
      .findIndex((candidate) => forbidden.test(candidate));
    assert.is(line, -1, `${name}:${line + 1} names a machine's path or a registry's host`);
  }
});

test.run();
