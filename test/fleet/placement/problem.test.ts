import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { parseProblem } from '../../../fleet/placement/problem.ts';
import { solve } from '../../../fleet/placement/solve.ts';

const node = { name: 'a', cores: 2, memoryBytes: 1e9 };
const item = { name: 'x', ratePerS: 1, workMs: 10 };
const read = (value: object): unknown => parseProblem({ nodes: [node], items: [item], ...value }, 'plan.yaml');

test('defaults are filled in, and a group of nodes becomes so many nodes', () => {
  const problem = parseProblem({ nodes: [{ ...node, count: 3 }], items: [{ ...item, replicas: 2 }] }, 'plan.yaml');
  assert.equal(
    problem.nodes.map(({ name }) => name),
    ['a-1', 'a-2', 'a-3'],
  );
  assert.is(problem.items[0]?.units, 2);
  assert.is(problem.items[0]?.priority, 'normal');
  assert.is(problem.promise, 0.99);
});

test('what is wrong is said with its place, its name and what was expected', () => {
  const cases: [value: object, sentence: RegExp][] = [
    [{ items: [{ ...item, workMs: -1 }] }, /^plan\.yaml: items\[0\] \("x"\)\.workMs: /],
    [{ items: [{ ...item, ratePers: 1 }] }, /^plan\.yaml: items\[0\] \("x"\): Unrecognized key: "ratePers"/],
    [{ nodes: [{ ...node, name: 'a b' }] }, /^plan\.yaml: nodes\[0\] \("a b"\)\.name: expected letters/],
    [{ nodes: [node, node] }, /^plan\.yaml: node "a": expected one node of this name/],
    [{ items: [item, item] }, /^plan\.yaml: item "x": expected one item of this name/],
    [
      { items: [{ ...item, units: 2, replicas: 3 }] },
      /item "x": expected at most as many replicas as units \(2\), got 3/,
    ],
    [{ items: [{ ...item, apart: ['y'] }] }, /item "x", apart: there is no item "y"/],
    [{ items: [{ ...item, with: ['x'] }] }, /item "x", with: expected other items, got itself/],
    [{ items: [{ ...item, nodes: ['b'] }] }, /item "x", nodes: there is no node "b"/],
    [
      {
        items: [
          { ...item, with: ['y'] },
          { ...item, name: 'y', apart: ['x'] },
        ],
      },
      /item "x": "y" is to be with it and apart from it/,
    ],
    [
      {
        items: [
          { ...item, with: ['y'] },
          { ...item, name: 'y', with: ['x'] },
        ],
      },
      /item "x", with: expected no circle/,
    ],
    [
      { links: [{ between: ['p', 'q'] }, { between: ['q', 'p'] }] },
      /links\[1\]: expected one link between "q" and "p", got two/,
    ],
    [{ promise: 1 }, /^plan\.yaml: promise: /],
    [{ nodes: 3 }, /^plan\.yaml: nodes: /],
  ];
  for (const [value, sentence] of cases) assert.throws(() => read(value), sentence);
  assert.throws(() => parseProblem([], 'plan.yaml'), /^plan\.yaml: /);
  assert.throws(() => parseProblem(null, 'plan.yaml'), /^plan\.yaml: /);
});

test('the example of the documentation is a problem, and everything in it is served', async () => {
  const page = readFileSync(new URL('../../../docs/placement.md', import.meta.url), 'utf8');
  const text = /^```yaml\n(.*?)^```$/ms.exec(page)?.[1] as string;
  const { search, proof } = await solve(parseProblem(parse(text), 'docs/placement.md'));
  assert.is(proof, 'integer program');
  for (const item of search.instance.items.keys()) assert.is(search.missing(item), 0);
});

test.run();
