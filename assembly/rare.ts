// Instructions of operators that models seldom have: plain code, one small function each, as instructions.ts.
import * as op from './opcodes.ts';
import { at, Cumulate, Determinant, Lookup, MaxRoiPool, Product, RoiAlign, Sample, Scatter, Suppress, TopK, Trees, Uniform, UnpackBlocks, WrapIndices } from './operands.ts';
import { unpackBlocks } from './tensor/blocks.ts';
import { determinant } from './tensor/determinant.ts';
import { shiftOf } from './tensor/element.ts';
import { scatter, wrapIndices } from './tensor/indices.ts';
import { lookup } from './tensor/lookup.ts';
import { cumulate, topK } from './tensor/order.ts';
import { uniform } from './tensor/philox.ts';
import { maxRoiPool } from './tensor/roi-pool.ts';
import { productAll } from './tensor/product.ts';
import { roiAlign, sample } from './tensor/sample.ts';
import { suppress } from './tensor/suppress.ts';
import { trees } from './tensor/trees.ts';

export function runWrapIndices(operands: usize): i32 {
  const o = changetype<WrapIndices>(operands);
  return wrapIndices(at(o.x), o.wide != 0, at(o.y), o.count, o.size);
}

export function runScatter(operands: usize): i32 {
  const o = changetype<Scatter>(operands);
  const type = o.kind >> 8;
  return scatter(
    type, shiftOf(type), o.kind & 0xff, at(o.y), at(o.positions), at(o.updates), o.rows, o.inner, o.begin, o.end, o.columns,
  );
}

export function runCumulate(operands: usize): i32 {
  const o = changetype<Cumulate>(operands);
  const type = o.kind >> 8;
  const offset = <usize>(o.begin * o.axis * o.inner) << shiftOf(type);
  cumulate(type, o.kind & 0xff, at(o.x) + offset, at(o.y) + offset, o.end - o.begin, o.axis, o.inner, o.columns, o.from, o.to);
  return op.OK;
}

export function runTopK(operands: usize): i32 {
  const o = changetype<TopK>(operands);
  topK(o.kind >> 8, o);
  return op.OK;
}

export function runSample(operands: usize): i32 {
  sample(changetype<Sample>(operands));
  return op.OK;
}

export function runRoiAlign(operands: usize): i32 {
  return roiAlign(changetype<RoiAlign>(operands));
}

export function runMaxRoiPool(operands: usize): i32 {
  return maxRoiPool(changetype<MaxRoiPool>(operands));
}

export function runLookup(operands: usize): i32 {
  const o = changetype<Lookup>(operands);
  const offset = <usize>o.begin * o.channels;
  lookup(at(o.x) + offset, at(o.table), at(o.y) + offset, o.end - o.begin, o.channels);
  return op.OK;
}

export function runDeterminant(operands: usize): i32 {
  const o = changetype<Determinant>(operands);
  const offset = <usize>(o.begin * o.size * o.size) << 2;
  determinant(at(o.x) + offset, at(o.y) + (<usize>o.begin << 2), at(o.room), o.end - o.begin, o.size, o.from, o.to);
  return op.OK;
}

/** The first part takes the number of its draw, so that runs which come between each other never share one. */
export function runUniform(operands: usize): i32 {
  const o = changetype<Uniform>(operands);
  if (o.begin == 0) store<u64>(at(o.room), atomic.add<u64>(at(o.draws), 1));
  uniform(o.key0, o.key1, load<u64>(at(o.room)), at(o.y), o.count, o.begin, o.end);
  return op.OK;
}

export function runTrees(operands: usize): i32 {
  trees(changetype<Trees>(operands));
  return op.OK;
}

export function runProduct(operands: usize): i32 {
  productAll(changetype<Product>(operands));
  return op.OK;
}

export function runSuppress(operands: usize): i32 {
  return suppress(changetype<Suppress>(operands));
}

export function runUnpackBlocks(operands: usize): i32 {
  unpackBlocks(changetype<UnpackBlocks>(operands));
  return op.OK;
}
