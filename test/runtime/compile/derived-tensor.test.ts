/** Constants that follow from others are not kept longer than they are of use. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { DerivedTensor } from '../../../runtime/compile/builder.ts';
import { KEPT_BYTES_MAX } from '../../../runtime/onnx/limits.ts';

/** A chain of three, each one more than the one before; `computed` counts how often each was. */
function chain(count: number) {
  const computed = [0, 0, 0];
  const tensors: DerivedTensor[] = [];
  for (let link = 0; link < 3; link++) {
    const before = tensors.at(-1);
    const compute = (): Float32Array => {
      computed[link] = (computed[link] as number) + 1;
      return Float32Array.from({ length: count }, (_, i) => Number(before?.data[i] ?? 0) + 1);
    };
    tensors.push(new DerivedTensor('float32', [count], before ? [before] : [], compute));
  }
  return { computed, tensors: tensors as [DerivedTensor, DerivedTensor, DerivedTensor] };
}

test('large contents go once everything derived from them is there, and are computed again when asked for', () => {
  const { computed, tensors } = chain(KEPT_BYTES_MAX / 4 + 1);
  assert.is(tensors[2].data[0], 3);
  assert.is(tensors[2].data[0], 3);
  assert.equal(computed, [1, 1, 1]);
  assert.is(tensors[1].data[0], 2);
  assert.equal(computed, [2, 2, 1]);
  tensors[2].forget();
  assert.is(tensors[2].data[0], 3);
  assert.equal(computed, [2, 2, 2]);
});

test('small contents stay', () => {
  const { computed, tensors } = chain(16);
  for (const [index, tensor] of tensors.entries()) {
    assert.is(tensor.data[0], index + 1);
    tensor.forget();
  }
  assert.is(tensors[2].data[0], 3);
  assert.equal(computed, [1, 1, 1]);
});

test.run();
