import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { explainModel } from '../../../runtime/compile/explain.ts';
import { passes, passTitles } from '../../../runtime/compile/passes/index.ts';
import { Random } from '../../random.ts';
import { onnxModel } from './graphs.ts';

const random = new Random(1);

test('every pass has a title', () => {
  for (const pass of passes) assert.ok(passTitles.has(pass), pass.name);
});

test('a convolution with what is fused into it: counts, products, bytes', () => {
  const model = onnxModel({
    inputs: ['x'],
    outputs: ['y'],
    initializers: { w: random.tensor([16, 8, 3, 3]), b: random.tensor([16]) },
    nodes: [
      { operator: 'Conv', inputs: ['x', 'w', 'b'], outputs: ['a'], attributes: { pads: [1, 1, 1, 1] } },
      { operator: 'Relu', inputs: ['a'], outputs: ['r'] },
      { operator: 'Mul', inputs: ['r', 'r'], outputs: ['y'] },
    ],
  });
  const { operators, parameters, fallback, program } = explainModel(model, {
    x: { type: 'float32', dims: [2, 8, 10, 12] },
  });
  assert.equal(operators, { Conv: 1, Mul: 1, Relu: 1 });
  assert.is(parameters, 16 * 8 * 9 + 16);
  assert.equal(fallback, []);
  assert.equal(program?.final, { transpose: 2, 'conv + clip': 1, mul: 1 });
  assert.is(program?.multiplyAdds, 2 * 10 * 12 * 16 * 8 * 9);
  // Input and output of the convolution have to be there together.
  assert.ok(program && program.arenaBytes >= 2 * 10 * 12 * (8 + 16) * 4);
  assert.ok(program && program.weightBytes >= 16 * 8 * 9 * 4 && program.weightBytes < 100_000);
  assert.is(program?.plainWeightBytes, (16 * 8 * 9 + 16) * 4);
  // 36 products for 9 weights, and what both have besides.
  const saved = (program?.weightBytes ?? 0) - (program?.directWeightBytes ?? 0);
  assert.is(saved, 16 * 8 * (36 - 9) * 4);
  assert.equal(program?.passes.at(-1)?.changes, { conv: -1, relu: -1, 'conv + clip': 1 });
});

test('every operator that is missing is a reason', () => {
  const model = onnxModel({
    inputs: ['x'],
    outputs: ['z'],
    nodes: [
      { operator: 'First', inputs: ['x'], outputs: ['y'] },
      { operator: 'Second', inputs: ['y'], outputs: ['z'] },
    ],
  });
  const { fallback, program } = explainModel(model, { x: { type: 'float32', dims: [1] } });
  assert.is(fallback.length, 2);
  assert.is(program, undefined);
});

test.run();
