/**
 * ONNX's own conformance cases on our kernels. test/onnx/passing.txt lists those that pass: one that stops passing
 * fails the test, and so does one that passes without being listed. Write the list anew with
 * UPDATE_CONFORMANCE=1 node test/runtime/ops/conformance.test.ts
 */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { numbersOf } from '../../../runtime/compile/evaluate.ts';
import { arrayOf, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { readTensorFile } from '../../onnx/tensor-file.ts';
import { Random } from '../../random.ts';
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
  const [a, b] = [numbersOf(got), numbersOf(wanted)];
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

/** Some axes more, fewer or of other sizes, and elements from the case or small whole numbers. */
function disturbed(tensor: Tensor, random: Random): Tensor {
  const dims = [...tensor.dims];
  for (let change = random.below(2); change >= 0; change--) {
    const how = random.below(4);
    if (how === 0) dims.push(1 + random.below(3));
    else if (how === 1) dims.pop();
    else if (dims.length > 0) dims[random.below(dims.length)] = random.below(7);
  }
  const data = new (arrayOf(tensor.type))(elementCount(dims));
  for (let i = 0; i < data.length; i++) {
    const given = tensor.data.length > 0 && random.below(3) > 0 ? tensor.data[i % tensor.data.length] : undefined;
    const small = random.below(9) - 4;
    data[i] = given ?? (typeof data[i] === 'bigint' ? BigInt(small) : small);
  }
  return { type: tensor.type, dims, data };
}

testWithData('inputs of wrong shapes give a result or one sentence, never a failed assertion', () => {
  const seed = Number(process.env.SEED ?? 1);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  let [ran, refused] = [0, 0];
  for (const name of readFileSync(list, 'utf8').split('\n').filter(Boolean)) {
    const file = readModel(new Uint8Array(readFileSync(`${folder}${name}/model.onnx`)));
    const tensors = readAll(`${folder}${name}/test_data_set_0`, 'input');
    const inputs = file.graph.inputs.map((input, i) => [input.name, disturbed(tensors[i] as Tensor, random)]);
    try {
      new TestModel(file).run(Object.fromEntries(inputs));
      ran++;
    } catch (error) {
      const { name: kind, message } = error as Error;
      const planned = (kind === 'Error' || kind === 'UnsupportedError') && !/assertion|fault/.test(message);
      assert.ok(planned || /fault -3/.test(message), `${name}: ${kind}: ${message}`);
      refused++;
    }
  }
  assert.ok(ran > 200 && refused > 200, `saw ${ran} results and ${refused} refusals`);
});

test.run();
