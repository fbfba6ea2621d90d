/** Operators that only look at shapes, or change them. */
import { elementCount } from '../engine/tensor.ts';
import type { Build, OperatorContext } from './context.ts';

/** A slice end that may be counted from the end and may lie outside. */
function clampIndex(index: number, size: number): number {
  return Math.min(Math.max(index < 0 ? index + size : index, 0), size);
}

export const shape: Build = (node) => {
  const { dims } = node.input(0);
  const start = clampIndex(node.int('start', 0), dims.length);
  const end = clampIndex(node.int('end', dims.length), dims.length);
  const sizes = dims.slice(start, Math.max(start, end));
  return node.builder.literal('int64', [sizes.length], sizes);
};

export const size: Build = (node) => node.builder.literal('int64', [], [elementCount(node.input(0).dims)]);

export const reshape: Build = (node) => {
  const x = node.input(0);
  const wanted = node.ints('shape') ?? node.integers(1);
  const keepZeros = node.flag('allowzero');
  const dims = wanted.map((each, axis) => (each === 0 && !keepZeros ? (x.dims[axis] ?? 0) : each));
  const open = dims.indexOf(-1);
  if (dims.some((each, axis) => each < 0 && axis !== open))
    throw new Error(`expected a shape with at most one -1, got [${wanted}]`);
  if (open >= 0) {
    const others = elementCount(dims.filter((_, axis) => axis !== open));
    const rest = elementCount(x.dims) / others;
    if (!Number.isInteger(rest))
      throw new Error(`expected a shape that [${x.dims.join(', ')}] fits into, got [${wanted}]`);
    dims[open] = rest;
  }
  return node.builder.reshape(x, dims);
};

/** An attribute before opset 13, an input since. */
function axesOf(node: OperatorContext): number[] | undefined {
  return node.ints('axes') ?? node.optionalIntegers(1);
}

export const squeeze: Build = (node) => {
  const x = node.input(0);
  const given = axesOf(node);
  const axes = given ? node.axes(given, x.dims.length) : x.dims.flatMap((each, axis) => (each === 1 ? [axis] : []));
  const wrong = axes.find((axis) => x.dims[axis] !== 1);
  if (wrong !== undefined) throw new Error(`expected axis ${wrong} to have size 1, got shape [${x.dims.join(', ')}]`);
  return node.builder.reshape(
    x,
    x.dims.filter((_, axis) => !axes.includes(axis)),
  );
};

export const unsqueeze: Build = (node) => {
  const x = node.input(0);
  const given = axesOf(node) ?? [];
  const rank = x.dims.length + given.length;
  const axes = new Set(node.axes(given, rank));
  if (axes.size !== given.length) throw new Error(`expected axes that differ, got [${given}]`);
  const rest = [...x.dims];
  const dims = Array.from({ length: rank }, (_, axis) => (axes.has(axis) ? 1 : (rest.shift() as number)));
  return node.builder.reshape(x, dims);
};

export const flatten: Build = (node) => {
  const x = node.input(0);
  const given = node.int('axis', 1);
  const axis = given === x.dims.length ? given : node.axis(given, x.dims.length);
  return node.builder.reshape(x, [elementCount(x.dims.slice(0, axis)), elementCount(x.dims.slice(axis))]);
};

export const transpose: Build = (node) => {
  const x = node.input(0);
  const perm = node.ints('perm') ?? x.dims.map((_, axis) => x.dims.length - 1 - axis);
  const inOrder = [...perm].sort((a, b) => a - b);
  if (perm.length !== x.dims.length || inOrder.some((axis, i) => axis !== i))
    throw new Error(`attribute "perm": expected an order of ${x.dims.length} axes, got [${perm}]`);
  return node.builder.transpose(x, perm);
};

/** Sizes of 1 in either shape stretch, so the wanted shape need not be the result's. */
export const expand: Build = (node) => {
  const x = node.input(0);
  const wanted = node.integers(1);
  const rank = Math.max(x.dims.length, wanted.length);
  const dims = Array.from({ length: rank }, (_, axis) => {
    const own = x.dims[axis - rank + x.dims.length] ?? 1;
    const other = wanted[axis - rank + wanted.length] ?? 1;
    if (own !== other && own !== 1 && other !== 1)
      throw new Error(`expected a shape that [${x.dims.join(', ')}] broadcasts to, got [${wanted}]`);
    return own === 1 ? other : own;
  });
  return node.builder.expand(x, dims);
};

/** x [n, c, h, w] → [n, c / block², h · block, w · block] */
export const depthToSpace: Build = (node) => {
  const { builder } = node;
  const x = node.input(0);
  const [n, c, h, w] = imageDims(node);
  const block = node.int('blocksize');
  const depth = c / block ** 2;
  if (!Number.isInteger(depth)) throw new Error(`attribute "blocksize": expected its square to divide ${c} channels`);
  const columnFirst = node.text('mode', ['DCR', 'CRD'], 'DCR') === 'CRD';
  const split = columnFirst ? [n, depth, block, block, h, w] : [n, block, block, depth, h, w];
  const perm = columnFirst ? [0, 1, 4, 2, 5, 3] : [0, 3, 4, 1, 5, 2];
  return builder.reshape(builder.transpose(builder.reshape(x, split), perm), [n, depth, h * block, w * block]);
};

/** x [n, c, h, w] → [n, c · block², h / block, w / block] */
export const spaceToDepth: Build = (node) => {
  const { builder } = node;
  const [n, c, h, w] = imageDims(node);
  const block = node.int('blocksize');
  if (h % block !== 0 || w % block !== 0)
    throw new Error(`attribute "blocksize": expected a divisor of height ${h} and width ${w}, got ${block}`);
  const split = builder.reshape(node.input(0), [n, c, h / block, block, w / block, block]);
  return builder.reshape(builder.transpose(split, [0, 3, 5, 1, 2, 4]), [n, c * block ** 2, h / block, w / block]);
};

function imageDims(node: OperatorContext): [n: number, c: number, h: number, w: number] {
  const { dims } = node.input(0);
  if (dims.length !== 4) throw new Error(`expected an input of rank 4, got ${dims.length}`);
  return dims as unknown as [number, number, number, number];
}
