/** Rotary embedding: pairs of features turned by an angle that depends on the position (J. Su et al., RoFormer, 2021). */
import type { Value } from '../compile/graph.ts';
import { splitHeads } from './attention.ts';
import type { Build, OperatorContext } from './context.ts';

/**
 * Turns the first features of x [batch, length, heads, size] by the angles whose cosines and sines are given as
 * [batch or 1, length, half]: twice as many as those are turned, the rest stays. A pair is two features side by side when
 * `interleaved`, or else one of the first half and one of the second.
 */
export function rotate(node: OperatorContext, x: Value, cos: Value, sin: Value, interleaved: boolean): Value {
  const { builder } = node;
  const [batch = 0, length = 0, heads = 0, size = 0] = x.dims;
  const [rows = 0, angles = 0, half = 0] = cos.dims;
  const fits = cos.dims.length === 3 && angles === length && (rows === batch || rows === 1) && 2 * half <= size;
  if (!fits || `${cos.dims}` !== `${sin.dims}`)
    throw new Error(
      `expected cosines and sines of [${batch}, ${length}, at most ${size >> 1}], got [${cos.dims}] and [${sin.dims}]`,
    );
  const turned = 2 * half;
  const split = interleaved ? [batch, length, heads, half, 2] : [batch, length, heads, 2, half];
  const axis = interleaved ? 4 : 3;
  const pairs = builder.reshape(builder.sliceAxis(x, 3, 0, turned), split);
  const [a, b] = [0, 1].map((i) =>
    builder.reshape(builder.sliceAxis(pairs, axis, i, i + 1), [batch, length, heads, half]),
  ) as [Value, Value];
  const [c, s] = [cos, sin].map((table) => builder.reshape(table, [rows, length, 1, half])) as [Value, Value];
  const product = (left: Value, right: Value): Value => builder.binary('mul', left, right);
  const real = builder.binary('sub', product(c, a), product(s, b));
  const imaginary = builder.binary('add', product(s, a), product(c, b));
  const apart = split.map((each, i) => (i === axis ? 1 : each));
  const joined = builder.concat(
    [real, imaginary].map((each) => builder.reshape(each, apart)),
    axis,
  );
  const rotated = builder.reshape(joined, [batch, length, heads, turned]);
  return turned === size ? rotated : builder.concat([rotated, builder.sliceAxis(x, 3, turned, size)], 3);
}

/** cos and sin of [batch, length, half] for each position, or given so already. */
function rotationOf(node: OperatorContext, index: number, half: number): Value {
  const { builder } = node;
  const positions = node.optional(3);
  const table = positions ? builder.gather(node.input(index), positions, 0) : node.input(index);
  return builder.sliceAxis(table, 2, 0, half);
}

export const rotaryEmbedding: Build = (node) => {
  const { builder } = node;
  const given = node.input(0);
  const flat = given.dims.length === 3;
  if (!flat && given.dims.length !== 4)
    throw new Error(`expected [batch, heads, length, size] or [batch, length, features], got [${given.dims}]`);
  const byLength = flat
    ? builder.transpose(splitHeads(node, given, node.int('num_heads')), [0, 2, 1, 3])
    : builder.transpose(given, [0, 2, 1, 3]);
  const half = (node.int('rotary_embedding_dim', 0) || (byLength.dims[3] as number)) / 2;
  const [cos, sin] = [rotationOf(node, 1, half), rotationOf(node, 2, half)];
  const whole = rotate(node, byLength, cos, sin, node.flag('interleaved'));
  return flat ? builder.reshape(whole, given.dims) : builder.transpose(whole, [0, 2, 1, 3]);
};
