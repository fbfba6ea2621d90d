import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { DataType, Tensor } from '../../../runtime/engine/tensor.ts';
import { converted } from '../../../runtime/triggers/numbers.ts';

const floats = (...values: number[]): Tensor => ({
  type: 'float32',
  dims: [values.length],
  data: Float32Array.from(values),
});

test('short floats are converted by what they stand for, to them and from them', () => {
  const types: DataType[] = ['float16', 'bfloat16', 'float8e4m3fn', 'float8e5m2', 'float4e2m1'];
  for (const type of types) {
    const short = converted(floats(1, -1.5, 4), type, 'place');
    assert.is(short.type, type);
    assert.equal([...converted(short, 'float32', 'place').data], [1, -1.5, 4], type);
    assert.equal([...converted(converted(floats(1, -3), type, 'place'), 'int4', 'place').data], [1, -3], type);
  }
});

test('a number that an integer of few bits cannot hold is refused', () => {
  assert.equal([...converted(floats(-8, 7), 'int4', 'place').data], [-8, 7]);
  for (const [value, type] of [
    [8, 'int4'],
    [-1, 'uint4'],
    [4, 'uint2'],
    [0.5, 'int2'],
  ] as const)
    assert.throws(
      () => converted(floats(value), type, 'place'),
      new RegExp(`^place: element 0: expected a value that ${type} can hold, got ${value}$`),
    );
});

test.run();
