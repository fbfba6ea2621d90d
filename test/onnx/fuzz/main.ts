/**
 * Damaged models into the reader, the compiler and the kernels. Ends with 1 when one does what none may: crash, hang,
 * take too much memory, or fail with anything but a sentence.
 *   npm run fuzz [-- --count 200000] [--seed 1] [--out FOLDER]
 * The models that did are written to the folder; `--count 1 --seed SEED` tries one again.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { fuzz } from './run.ts';
import { SeedModels } from './seeds.ts';

const { values } = parseArgs({
  options: { count: { type: 'string' }, seed: { type: 'string' }, out: { type: 'string' } },
});
const count = Number(values.count ?? 200_000);
const first = Number(values.seed ?? 1);
const folder = values.out ?? join(tmpdir(), 'llmasos-fuzz');
const models = new SeedModels();
console.log(`seeds: ${models.count} official cases, and random graphs`);
const { counts, violations } = await fuzz(first, count, (done) => console.log(`${done} models`));
for (const { seed, why } of violations) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${seed}.onnx`), models.damaged(seed).bytes);
  console.log(`seed ${seed}: ${why}`);
}
console.log(`fuzz: ${count} damaged models from seed ${first}: ${JSON.stringify(counts)}`);
process.exitCode = violations.length > 0 ? 1 : 0;
