/**
 * The optimiser's oracle: the official cases again through programs that no pass has touched, and through both binaries.
 * conformance.test.ts runs them as the engine does, with all passes on the fastest build.
 */
import { existsSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { readModel } from '../../../runtime/onnx/read.ts';
import { bytesOf, type Case, casesOf, suites } from '../../onnx/cases.ts';
import { runnerOf } from '../../onnx/conformance.ts';
import { difference } from '../../onnx/difference.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';
import type { Way } from './run-program.ts';

const list = new URL('../../onnx/passing.txt', import.meta.url);
const testWithData = testWhere(test, existsSync(`${sharedData}onnx-node`), needsSharedData.needs);

const plain: Way = { build: 'plain', passes: [] };
const optimised: readonly Way[] = [{ build: 'plain' }, { build: 'relaxed' }];

/** Where a plain program differs from the standard, or an optimised one from it. */
function mistakes(each: Case): string[] {
  const model = readModel(bytesOf(each.modelPath));
  const run = runnerOf(model, plain);
  const runs = optimised.map((way) => ({ build: way.build, run: runnerOf(model, way) }));
  const found: string[] = [];
  for (const { inputs, outputs } of each.dataSets(model)) {
    const wanted = run(inputs);
    const results = runs.map(({ build, run: runOther }) => ({ build, got: runOther(inputs) }));
    wanted.forEach((own, i) => {
      const right = outputs[i];
      if (!own || !right) return;
      const plainly = difference(own, right);
      if (plainly) found.push(`${each.name}, no passes: ${plainly}`);
      for (const { build, got } of results) {
        const wrong = difference(got[i], own);
        if (wrong) found.push(`${each.name}, ${build} build: ${wrong}`);
      }
    });
  }
  return found;
}

testWithData('with and without passes, on both binaries, the official cases that pass give equal answers', () => {
  const listed = new Set(readFileSync(list, 'utf8').split('\n').filter(Boolean));
  const cases = suites.flatMap(casesOf).filter(({ name }) => listed.has(name));
  assert.equal(cases.flatMap(mistakes), []);
  assert.is(cases.length, listed.size);
  assert.ok(cases.length > 1400, `saw only ${cases.length} cases`);
});

test.run();
