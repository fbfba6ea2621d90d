/** A few thousand damaged models; `npm run fuzz` tries as many as one likes. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { fuzz } from './fuzz/run.ts';

const SEED = Number(process.env.SEED ?? 1);
const MODELS = 3000;
console.log(`seed ${SEED}`);

test('damaged models are answered or refused with a sentence, soon, and no process dies of them', async () => {
  const { counts, violations } = await fuzz(SEED, MODELS, () => undefined);
  assert.equal(violations, []);
  assert.is(counts.answered + counts.compiled + counts.refused, MODELS);
  assert.ok(counts.answered > MODELS / 20 && counts.refused > MODELS / 4, JSON.stringify(counts));
});

test.run();
