/** Products of bytes, or of bytes as int16, that come to bytes where they are made. */
import type { Address } from './instructions.ts';
import { type Rescaling, rescalingWords } from './quantized-call.ts';
import { behind, type Writer } from './writer.ts';

/** A kernel, and what one instruction of it may do. */
export interface RescaledKernel {
  readonly opcode: number;
  /** Bytes of an element of a and of the packed b. */
  readonly elementBytes: 1 | 2;
  readonly tileRows: number;
  /** Columns are cut at multiples of this. */
  readonly columns: number;
  readonly productsMax: number;
  /** Elements of a packed [k, n] matrix. */
  packedLength(k: number, n: number): number;
}

export interface RescaledProduct {
  readonly a: Address;
  readonly lda: number;
  /** For kernels that take it from the sums: the zero point of a. */
  readonly xZero?: number;
  readonly packedB: Address;
  readonly y: Address;
  readonly ldy: number;
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly bias: Address;
  readonly factor: Address;
}

export function assembleRescaled(
  writer: Writer,
  panel: number,
  kernel: RescaledKernel,
  to: Rescaling,
  call: RescaledProduct,
): void {
  const { a, lda, xZero, packedB, y, ldy, m, n, k, bias, factor } = call;
  const { opcode, elementBytes, tileRows, columns, productsMax } = kernel;
  const columnsMax = Math.floor(productsMax / tileRows / k / columns) * columns;
  writer.inParts(n, Math.max(columns, columnsMax), (left, right) => {
    const rowsMax = Math.floor(productsMax / k / (right - left) / tileRows) * tileRows;
    const rows = (top: number, bottom: number): void => {
      writer.emit(opcode, [
        ...rescalingWords(to),
        behind(a, top * lda, elementBytes),
        lda,
        ...(xZero === undefined ? [] : [xZero]),
        behind(packedB, kernel.packedLength(k, left), elementBytes),
        behind(y, top * ldy + left, 1),
        ldy,
        bottom - top,
        right - left,
        k,
        panel,
        behind(bias, left),
        behind(factor, left),
      ]);
    };
    writer.inShares(m, Math.max(tileRows, rowsMax), tileRows, rows);
  });
}
