import { globSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { allGraphs, describeModel } from '../../../runtime/onnx/describe.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';

const testWithData = testWhere(test, needsSharedData.met, needsSharedData.needs);

interface InventoryEntry {
  readonly path: string;
  readonly opset?: string;
  readonly ops?: Readonly<Record<string, number>>;
  readonly in: readonly { readonly name: string; readonly dt: string; readonly dims: readonly (number | string)[] }[];
  readonly out: InventoryEntry['in'];
}

function sorted(counts: Readonly<Record<string, number>> = {}): Record<string, number> {
  return Object.fromEntries(Object.entries(counts).sort(([a], [b]) => (a < b ? -1 : 1)));
}

testWithData('every official conformance model is read and described', () => {
  const files = globSync('onnx-node/**/*.onnx', { cwd: sharedData });
  const operators = new Set<string>();
  let tensors = 0;
  for (const name of files) {
    const model = readModel(readFileSync(`${sharedData}${name}`));
    for (const operator of Object.keys(describeModel(model).operators)) operators.add(operator);
    for (const graph of allGraphs(model.graph)) {
      for (const tensor of graph.initializers.values()) {
        try {
          assert.ok(tensor.data);
        } catch (error) {
          assert.is((error as Error).name, 'UnsupportedError', `${name}: ${(error as Error).message}`);
        }
        tensors++;
      }
    }
  }
  assert.is(files.length, 1951);
  assert.ok(operators.size > 190, `saw only ${operators.size} operators`);
  assert.ok(tensors > 1000, `saw only ${tensors} tensors`);
});

testWithData('the real models are described as the official onnx package describes them', () => {
  const inventory = JSON.parse(readFileSync(`${sharedData}INVENTORY.json`, 'utf8')).files as InventoryEntry[];
  const entries = inventory.filter((entry) => entry.ops);
  for (const entry of entries) {
    const model = readModel(readFileSync(`${sharedData}${entry.path}`));
    const described = describeModel(model);
    // The list writes an unknown size as "?" (or −1).
    const values = (list: InventoryEntry['in']): unknown =>
      list.map(({ name, dt, dims }) => [name, dt, dims.map((dim) => (dim === -1 ? '?' : dim))]);
    const ours = (list: typeof described.inputs): unknown =>
      list.map(({ name, type, dims }) => [name, type, dims.map((dim) => dim ?? '?')]);
    assert.equal(ours(described.inputs), values(entry.in), entry.path);
    assert.equal(ours(described.outputs), values(entry.out), entry.path);
    assert.equal({ ...described.operators }, sorted(entry.ops), entry.path);
  }
  assert.is(entries.length, 51);
});

test.run();
