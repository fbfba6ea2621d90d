/**
 * ONNX's own conformance cases on our kernels. test/onnx/passing.txt lists those that pass: one that stops passing
 * fails the test, and so does one that passes without being listed. Write the list anew with
 * UPDATE_CONFORMANCE=1 node test/runtime/ops/conformance.test.ts
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { readTensorFile } from '../../onnx/tensor-file.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';
import { TestModel } from '../compile/run-program.ts';

const folder = `${sharedData}onnx-node/node/`;
const list = new URL('../../onnx/passing.txt', import.meta.url);
/** As onnx's own backend tests compare. */
const RELATIVE = 1e-3;
const ABSOLUTE = 1e-7;
/** Sums of float32 in another order differ by this much of the largest number, whatever the single number's size. */
const OF_LARGEST = 1e-6;

function readAll(path: string, kind: 'input' | 'output'): Tensor[] {
  const tensors: Tensor[] = [];
  while (existsSync(`${path}/${kind}_${tensors.length}.pb`))
    tensors.push(readTensorFile(new Uint8Array(readFileSync(`${path}/${kind}_${tensors.length}.pb`))));
  return tensors;
}

/** Where two tensors differ, or nothing. */
function difference(got: Tensor | undefined, wanted: Tensor): string | undefined {
  if (!got || got.type !== wanted.type || got.dims.join() !== wanted.dims.join())
    return `${got?.type} [${got?.dims}] instead of ${wanted.type} [${wanted.dims}]`;
  const [a, b] = [got, wanted].map(({ data }) => Array.from(data as ArrayLike<number | bigint>, Number)) as [
    number[],
    number[],
  ];
  const largest = b.reduce((most, value) => (Number.isFinite(value) ? Math.max(most, Math.abs(value)) : most), 0);
  const at = b.findIndex((value, i) => {
    const own = a[i] as number;
    if (Number.isNaN(value) || !Number.isFinite(value)) return !Object.is(own, value);
    return !(Math.abs(own - value) <= ABSOLUTE + RELATIVE * Math.abs(value) + OF_LARGEST * largest);
  });
  return at < 0 ? undefined : `element ${at} is ${a[at]} instead of ${b[at]}`;
}

/** Why a case does not pass, or nothing. */
function failure(name: string): string | undefined {
  try {
    const file = readModel(new Uint8Array(readFileSync(`${folder}${name}/model.onnx`)));
    const model = new TestModel(file);
    const sets = readdirSync(`${folder}${name}`).filter((each) => each.startsWith('test_data_set_'));
    for (const set of sets) {
      const inputs = readAll(`${folder}${name}/${set}`, 'input');
      const named = Object.fromEntries(file.graph.inputs.map((input, i) => [input.name, inputs[i] as Tensor]));
      const results = model.run(named);
      const wrong = readAll(`${folder}${name}/${set}`, 'output').map((wanted, i) =>
        difference(results[file.graph.outputs[i]?.name ?? ''], wanted),
      );
      const first = wrong.find((each) => each !== undefined);
      if (first || sets.length === 0 || wrong.length === 0) return `WRONG ${first}`;
    }
    return undefined;
  } catch (error) {
    return `${(error as Error).name}: ${(error as Error).message}`;
  }
}

const testWithData = testWhere(test, needsSharedData.met && existsSync(folder), needsSharedData.needs);

testWithData('the official conformance cases that are listed pass, and no others', () => {
  const listed = new Set(readFileSync(list, 'utf8').split('\n').filter(Boolean));
  const names = readdirSync(folder)
    .filter((name) => name.startsWith('test_'))
    .sort();
  const reasons = new Map(names.map((name) => [name, failure(name)]));
  const passing = names.filter((name) => reasons.get(name) === undefined);
  const wrong = names.filter((name) => reasons.get(name)?.startsWith('WRONG'));
  console.log(`conformance: ${names.length} cases, ${passing.length} pass, ${wrong.length} give other numbers`);
  if (process.env.UPDATE_CONFORMANCE) writeFileSync(list, `${passing.join('\n')}\n`);
  if (process.env.SHOW_CONFORMANCE) for (const [name, reason] of reasons) if (reason) console.log(name, reason);
  const lost = [...listed].filter((name) => reasons.get(name) !== undefined || !reasons.has(name));
  assert.equal(
    lost.map((name) => `${name}: ${reasons.get(name)}`),
    [],
  );
  assert.equal(
    passing.filter((name) => !listed.has(name)),
    [],
    'pass without being listed',
  );
  assert.ok(names.length > 1500, `saw only ${names.length} cases`);
});

test.run();
