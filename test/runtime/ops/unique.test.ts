import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeModel } from '../../../bench/write-model.ts';
import { arrayOf, type DataType, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { Random } from '../../random.ts';
import { TestModel } from '../compile/run-program.ts';
import { int } from '../onnx/attributes.ts';
import { agrees } from './single-node.ts';

const SEED = 20_261_124;
const random = new Random(SEED);
console.log(`seed ${SEED}`);

/** Few different numbers, so that many are equal. */
function fewNumbers(type: DataType, dims: readonly number[]): Tensor {
  const values = Array.from({ length: elementCount(dims) }, () => random.below(4) - (type === 'uint8' ? 0 : 2));
  const data = type === 'int64' ? BigInt64Array.from(values, BigInt) : new (arrayOf(type))(values.length);
  if (!(data instanceof BigInt64Array)) data.set(values as never);
  return { type, dims, data };
}

test('what differs, sorted or as it came, along an axis or not, is what onnxruntime finds', async () => {
  let seen = 0;
  for (const type of ['float32', 'float64', 'int64', 'int8'] as const)
    for (const sorted of [0, 1])
      for (const axis of [undefined, 0, -1]) {
        const x = fewNumbers(type, axis === undefined ? [5, 4] : axis === 0 ? [30, 2] : [2, 30]);
        const attributes = [int('sorted', sorted), ...(axis === undefined ? [] : [int('axis', axis)])];
        const outputs = [type, 'int64', 'int64', 'int64'];
        seen += await agrees({ operator: 'Unique', domain: '', version: 17, attributes, inputs: [x], outputs }, 0);
      }
  assert.ok(seen > 1500, `${seen} elements compared`);
});

test('texts that differ are found as well, and what follows goes on with them', () => {
  const STRING = 8;
  const model = writeModel({
    opsets: { '': 17 },
    graph: {
      inputs: [{ name: 'x', type: STRING, dims: [6] }],
      outputs: [
        { name: 'y', type: STRING },
        { name: 'd', type: 7 },
      ],
      nodes: [
        { operator: 'Unique', inputs: ['x'], outputs: ['y', '', 'i', 'c'] },
        { operator: 'Add', inputs: ['c', 'c'], outputs: ['d'] },
      ],
    },
  });
  const data = ['pear', 'fig', 'pear', 'apple', 'fig', 'pear'];
  const got = new TestModel(readModel(model)).runValues({ x: { type: 'string', dims: [6], data } });
  assert.equal(got.y, { type: 'string', dims: [3], data: ['apple', 'fig', 'pear'] });
  assert.equal(got.d, { type: 'int64', dims: [3], data: BigInt64Array.of(2n, 4n, 6n) });
});

test.run();
