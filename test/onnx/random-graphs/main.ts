/**
 * Random graphs on our kernels and on onnxruntime, or on our kernels with and without the compiler's passes. Ends with 1 when one differs or is not supported.
 *   npm run random-graphs [-- --count 20000] [--seed 1] [--oracle onnxruntime|plain] [--out FOLDER]
 * A graph that differs is reduced to its smallest part and written to the folder as FOLDER/SEED.onnx, with what it is fed
 * in a text beside it; `--count 1 --seed SEED` shows it again.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { judge, oracles, type Verdict } from './compare.ts';
import { generate } from './generate.ts';
import { writeGraphFile } from './graph.ts';
import { describeGraph, minimise } from './minimise.ts';

const { values } = parseArgs({
  options: { count: { type: 'string' }, seed: { type: 'string' }, out: { type: 'string' }, oracle: { type: 'string' } },
});
const count = Number(values.count ?? 20_000);
const first = Number(values.seed ?? 1);
const folder = values.out ?? join(tmpdir(), 'llmasos-random-graphs');
const oracle = oracles[values.oracle ?? 'onnxruntime'];
if (!oracle) throw new Error(`--oracle: expected ${Object.keys(oracles).join(' or ')}, got "${values.oracle}"`);
/** Graphs between two lines of progress. */
const PROGRESS = 1000;

const totals: Record<Verdict['kind'], number> = { equal: 0, unstable: 0, refused: 0, unsupported: 0, mismatch: 0 };
const operators = new Set<string>();
const reasons = new Map<string, number>();
for (let seed = first; seed < first + count; seed++) {
  const graph = generate(seed);
  for (const { operator } of graph.nodes) operators.add(operator);
  const verdict = await judge(graph, oracle);
  totals[verdict.kind]++;
  if (verdict.kind === 'refused') {
    const why = verdict.why.replace(/\d+/g, 'N').slice(0, 160);
    reasons.set(why, (reasons.get(why) ?? 0) + 1);
  }
  if (verdict.kind === 'mismatch' || verdict.kind === 'unsupported') {
    const least = await minimise(graph, async (part) => (await judge(part, oracle)).kind === verdict.kind);
    const last = await judge(least, oracle);
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, `${seed}.onnx`), writeGraphFile(least));
    writeFileSync(join(folder, `${seed}.txt`), describeGraph(least));
    console.log(`seed ${seed}: ${verdict.kind}: ${'why' in last ? last.why : verdict.why}\n${describeGraph(least)}`);
  }
  if ((seed - first + 1) % PROGRESS === 0) console.log(`${seed - first + 1} graphs: ${JSON.stringify(totals)}`);
}
for (const [why, times] of [...reasons].sort((a, b) => b[1] - a[1]).slice(0, 20))
  console.log(`refused by the oracle, ${times} times: ${why}`);
console.log(`random graphs: ${count} from seed ${first}, of ${operators.size} operators: ${JSON.stringify(totals)}`);
process.exitCode = totals.mismatch + totals.unsupported > 0 ? 1 : 0;
