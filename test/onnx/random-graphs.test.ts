/** Random graphs against onnxruntime; `npm run random-graphs` does the same for as many as one likes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { judge } from './random-graphs/compare.ts';
import { generate } from './random-graphs/generate.ts';
import { describeGraph, minimise } from './random-graphs/minimise.ts';

const SEED = Number(process.env.SEED ?? 1);
const GRAPHS = 150;
console.log(`seed ${SEED}`);

test('random graphs give what onnxruntime gives', async () => {
  const operators = new Set<string>();
  let compared = 0;
  for (let seed = SEED; seed < SEED + GRAPHS; seed++) {
    const graph = generate(seed);
    for (const { operator } of graph.nodes) operators.add(operator);
    const verdict = await judge(graph);
    assert.ok(
      verdict.kind !== 'mismatch' && verdict.kind !== 'unsupported',
      `seed ${seed}: ${JSON.stringify(verdict)}\n${describeGraph(graph)}`,
    );
    if (verdict.kind === 'equal') compared++;
  }
  assert.ok(compared > 0.98 * GRAPHS, `compared only ${compared}`);
  assert.ok(operators.size > 100, `met only ${operators.size} operators`);
});

test('a graph that shows something is reduced to the part that shows it', async () => {
  const has = (graph: ReturnType<typeof generate>) => graph.nodes.some(({ operator }) => operator === 'Softmax');
  let seed = SEED;
  for (let graph = generate(seed); !has(graph) || graph.nodes.length < 6; graph = generate(++seed));
  const least = await minimise(generate(seed), async (graph) => has(graph));
  assert.is(least.nodes.length, 1, describeGraph(least));
  assert.is((await judge(least)).kind, 'equal');
});

test.run();
