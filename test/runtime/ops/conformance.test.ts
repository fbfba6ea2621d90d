/**
 * The official cases on our kernels. test/onnx/passing.txt lists those that pass: one that stops passing fails the test,
 * and so does one that passes without being listed. Write the list anew with
 * UPDATE_CONFORMANCE=1 node test/runtime/ops/conformance.test.ts
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { arrayOf, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import type { EngineValue } from '../../../runtime/engine/value.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { bytesOf, casesOf, suites } from '../../onnx/cases.ts';
import { failureOf, leftOut, runnerOf, WRONG } from '../../onnx/conformance.ts';
import { Random } from '../../random.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';

const list = new URL('../../onnx/passing.txt', import.meta.url);
const readList = (): string[] => readFileSync(list, 'utf8').split('\n').filter(Boolean);
const cases = needsSharedData.met ? suites.flatMap(casesOf) : [];

const testWithData = testWhere(test, existsSync(`${sharedData}onnx-node`), needsSharedData.needs);

testWithData('the official cases that are listed pass, and no others', async () => {
  const listed = new Set(readList());
  const reasons = new Map<string, string | undefined>();
  for (const each of cases) reasons.set(each.name, await failureOf(each));
  const names = [...reasons.keys()];
  const passing = names.filter((name) => reasons.get(name) === undefined);
  const wrong = names.filter((name) => reasons.get(name)?.startsWith(WRONG));
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
  for (const [name, reason] of leftOut())
    assert.ok(reasons.get(name), `${name} passes or is gone, but test/onnx/left-out.txt says "${reason}"`);
  assert.ok(names.length > 1900, `saw only ${names.length} cases`);
});

/** Some axes more, fewer or of other sizes, and elements from the case or small whole numbers. */
function disturbed(value: EngineValue, random: Random): EngineValue {
  if (value.type === 'sequence') {
    const items = value.items.map((item) => disturbed(item, random));
    return { type: 'sequence', items: items.slice(random.below(2)) };
  }
  if (value.type === 'optional') return { ...value, value: value.value && disturbed(value.value, random) };
  if (value.type === 'map') return value;
  const dims = disturbedDims(value.dims, random);
  if (value.type !== 'string')
    return { type: value.type, dims, data: disturbedData(value, elementCount(dims), random) };
  const texts = Array.from({ length: elementCount(dims) }, (_, i) => value.data[i % value.data.length] ?? '7');
  return { type: 'string', dims, data: texts };
}

function disturbedDims(given: readonly number[], random: Random): number[] {
  const dims = [...given];
  for (let change = random.below(2); change >= 0; change--) {
    const how = random.below(4);
    if (how === 0) dims.push(1 + random.below(3));
    else if (how === 1) dims.pop();
    else if (dims.length > 0) dims[random.below(dims.length)] = random.below(7);
  }
  return dims;
}

function disturbedData(tensor: Tensor, count: number, random: Random): Tensor['data'] {
  const data = new (arrayOf(tensor.type))(count);
  for (let i = 0; i < data.length; i++) {
    const given = tensor.data.length > 0 && random.below(3) > 0 ? tensor.data[i % tensor.data.length] : undefined;
    const small = random.below(9) - 4;
    data[i] = given ?? (typeof data[i] === 'bigint' ? BigInt(small) : small);
  }
  return data;
}

testWithData('inputs of wrong shapes give a result or one sentence, never a failed assertion', () => {
  const seed = Number(process.env.SEED ?? 1);
  console.log(`seed ${seed}`);
  const random = new Random(seed);
  let [ran, refused] = [0, 0];
  const listed = new Set(readList());
  for (const each of cases.filter(({ name, suite }) => suite === 'node' && listed.has(name))) {
    const model = readModel(bytesOf(each.modelPath));
    const [set] = each.dataSets(model);
    const inputs = (set?.inputs ?? []).map((tensor) => disturbed(tensor, random));
    try {
      runnerOf(model, { stepsMax: 1000 })(inputs);
      ran++;
    } catch (error) {
      const { name: kind, message } = error as Error;
      const planned = (kind === 'Error' || kind === 'UnsupportedError') && !/assertion|fault/.test(message);
      assert.ok(planned || /fault -3/.test(message), `${each.name}: ${kind}: ${message}`);
      refused++;
    }
  }
  assert.ok(ran > 200 && refused > 200, `saw ${ran} results and ${refused} refusals`);
});

test.run();
