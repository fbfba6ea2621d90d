/** One row a kernel: what to run, on which sizes, and how exact it must be. Everything that tests kernels is driven by this table. */

import type { Trial } from './machine.ts';
import { unpackBlocksRow } from './table-blocks.ts';
import { castRow } from './table-cast.ts';
import { convRows } from './table-conv.ts';
import { elementwiseRows } from './table-elementwise.ts';
import { gemmRows } from './table-gemm.ts';
import { integerRows } from './table-integer.ts';
import { layoutRows } from './table-layout.ts';
import { erf64Row, productRow } from './table-product.ts';
import { quantizedRows } from './table-quantized.ts';
import { rareRows } from './table-rare.ts';
import { recurrentRows } from './table-recurrent.ts';
import { reduceRows } from './table-reduce.ts';
import { suppressRow } from './table-suppress.ts';
import { treesRow } from './table-trees.ts';
import { typedRows } from './table-typed.ts';

export interface Row {
  readonly name: string;
  /** Opcodes (assembly/opcodes.ts) that the row's programs use. */
  readonly opcodes: readonly number[];
  /** Bounds of |actual - expected| / max(1, |expected|), or of |actual - expected| / |expected| when `relative`. */
  readonly tolerance: number;
  readonly relative?: boolean;
  /** Each lays out inputs and expected outputs, and calls the assembler. */
  readonly cases: readonly ((trial: Trial) => void)[];
}

export const kernelTable: readonly Row[] = [
  ...convRows,
  ...gemmRows,
  ...elementwiseRows,
  ...reduceRows,
  ...layoutRows,
  ...integerRows,
  ...quantizedRows,
  ...rareRows,
  ...recurrentRows,
  suppressRow,
  treesRow,
  unpackBlocksRow,
  ...typedRows,
  castRow,
  erf64Row,
  productRow,
];
