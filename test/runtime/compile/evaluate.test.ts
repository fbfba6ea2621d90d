import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { evaluate } from '../../../runtime/compile/evaluate.ts';
import type { Operation } from '../../../runtime/compile/graph.ts';
import type { BinaryName } from '../../../runtime/compile/instructions.ts';
import { fromByteFloat, toByteFloat } from '../../../runtime/compile/minifloat.ts';
import { type ByteFloat, elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';

const wide = (...values: bigint[]): Tensor => ({
  type: 'int64',
  dims: [values.length],
  data: BigInt64Array.from(values),
});
const large = 2n ** 62n + 3n;

function elementsOf(operation: Operation, ...inputs: Tensor[]): unknown[] {
  return Array.from((evaluate(operation, inputs)?.data ?? []) as ArrayLike<number | bigint>);
}

function binary(name: BinaryName, a: Tensor, b: Tensor): unknown[] {
  return elementsOf({ kind: 'binary', name }, a, b);
}

test('constant integers beyond 2^53 are reckoned with exactly, and wrap around as the kernels do', () => {
  const [a, b] = [wide(large, -large, 7n), wide(5n, 2n ** 53n + 1n, 0n)];
  const expected: Partial<Record<BinaryName, bigint[]>> = {
    add: [large + 5n, -large + 2n ** 53n + 1n, 7n],
    mul: [large * 5n, -large * (2n ** 53n + 1n), 0n].map((value) => BigInt.asIntN(64, value)),
    div: [large / 5n, -large / (2n ** 53n + 1n), 0n],
    xor: [large ^ 5n, -large ^ (2n ** 53n + 1n), 7n],
    shiftLeft: [BigInt.asIntN(64, large << 5n), 0n, 7n],
  };
  for (const [name, values] of Object.entries(expected)) assert.equal(binary(name as BinaryName, a, b), values, name);
  assert.is(Object.keys(expected).length, 5);
  // Odd numbers to the power of 2^62 are 1 modulo 2^64.
  assert.equal(binary('pow', wide(3n, -1n), wide(2n ** 62n + 1n, -3n)), [3n, -1n]);
});

test('neighbours beyond 2^53 compare as different, are chosen as they are and reduced exactly', () => {
  const [a, b] = [wide(large, large), wide(large, large + 1n)];
  assert.equal(elementsOf({ kind: 'compare', name: 'equal' }, a, b), [1, 0]);
  const condition: Tensor = { type: 'bool', dims: [2], data: Uint8Array.of(0, 1) };
  assert.equal(elementsOf({ kind: 'where' }, condition, a, b), [large, large]);
  assert.equal(elementsOf({ kind: 'reduce', name: 'sum', axes: [0] }, b), [BigInt.asIntN(64, 2n * large + 1n)]);
  assert.equal(elementsOf({ kind: 'reduce', name: 'max', axes: [0] }, b), [large + 1n]);
});

test('a 64-bit integer is rounded to float32 once', () => {
  // Just above half-way between two float32: rounding to float64 first would leave it half-way, and then go to even.
  const value = 2n ** 60n + 2n ** 36n + 1n;
  const [single] = evaluate({ kind: 'cast', to: 'float32' }, [wide(value)])?.data ?? [];
  assert.is(single, 2 ** 60 + 2 ** 37);
  const [narrow] = evaluate({ kind: 'cast', to: 'int32' }, [wide(2n ** 40n + 9n)])?.data ?? [];
  assert.is(narrow, 9);
});

test('every byte of an 8-bit float stands for a number that is written as the same byte', () => {
  const types: ByteFloat[] = [
    'float8e4m3fn',
    'float8e4m3fnuz',
    'float8e5m2',
    'float8e5m2fnuz',
    'float8e8m0',
    'float4e2m1',
  ];
  let seen = 0;
  for (const type of types)
    for (let byte = 0; byte < (type === 'float4e2m1' ? 16 : 256); byte++) {
      const value = fromByteFloat(type, byte);
      const again = toByteFloat(type, value, { saturate: false, round: 'nearest' });
      if (Number.isNaN(value)) assert.ok(Number.isNaN(fromByteFloat(type, again)));
      else assert.is(again, byte, `${type} ${byte}`);
      seen++;
    }
  assert.is(seen, elementCount([5, 256]) + 16);
});

/** Largest and least positive numbers; source: the tables of the ONNX page "Float stored in 8 bits", and of MX 1.0. */
test('the 8-bit floats reach as far as their definitions say', () => {
  const limits: [ByteFloat, number, number][] = [
    ['float8e4m3fn', 448, 2 ** -9],
    ['float8e4m3fnuz', 240, 2 ** -10],
    ['float8e5m2', 57_344, 2 ** -16],
    ['float8e5m2fnuz', 57_344, 2 ** -17],
    ['float4e2m1', 6, 0.5],
  ];
  for (const [type, most, least] of limits) {
    assert.is(fromByteFloat(type, toByteFloat(type, 1e9)), most, type);
    assert.is(fromByteFloat(type, 1), least, type);
  }
});

test.run();
