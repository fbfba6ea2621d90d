/** What the documentation quotes is what the code says. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const root = fileURLToPath(new URL('../', import.meta.url));
const pages = ['README.md', ...readdirSync(`${root}docs`).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith('.md'),
);
const textOf = (path: string): string => readFileSync(root + path, 'utf8');

test('blocks of code that name a file stand in that file', () => {
  let seen = 0;
  for (const page of pages)
    for (const [, path = '', code = ''] of textOf(page).matchAll(/^```\w+ (\S+[./]\S+)\n(.*?)^```$/gms)) {
      assert.ok(textOf(path).includes(code), `${page} quotes something else than ${path} has:\n${code}`);
      seen++;
    }
  assert.ok(seen >= 3, `saw only ${seen} blocks`);
});

test('links and paths lead to files that are there', () => {
  let seen = 0;
  for (const page of pages) {
    const folder = page.includes('/') ? 'docs/' : '';
    const links = [...textOf(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path]) => folder + path);
    const paths = [
      ...textOf(page).matchAll(/`((?:assembly|runtime|test|docs|scripts)\/[\w/.-]+\.(?:ts|mjs|md))`/g),
    ].map(([, path]) => path as string);
    for (const path of [...links, ...paths]) {
      assert.ok(existsSync(root + path), `${page} names ${path}`);
      seen++;
    }
  }
  assert.ok(seen > 20, `saw only ${seen} paths`);
});

test.run();
