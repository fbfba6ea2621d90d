/** The error function of float64, and matrix products of float64 and integers. */
import * as op from '../../assembly/opcodes.ts';
import { arrayOf } from '../../runtime/engine/tensor.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import { wrap } from './table-typed.ts';

/** As the C library has it, at places on both sides of where the kernel changes its formula. */
const errorFunction: readonly (readonly [x: number, erf: number])[] = [
  [0, 0],
  [0.1, 0.1124629160182849],
  [0.5, 0.5204998778130465],
  [1, 0.8427007929497149],
  [1.5, 0.9661051464753108],
  [1.999, 0.9953015566513705],
  [2, 0.9953222650189527],
  [2.5, 0.999593047982555],
  [3.5, 0.9999992569016276],
  [5, 0.9999999999984626],
  [7, 1],
];

export const erf64Row: Row = {
  name: 'error function of float64',
  opcodes: [op.UNARY],
  tolerance: 2e-15,
  cases: [1, -1].flatMap((sign) =>
    [1, 5, errorFunction.length].map((count) => (trial: Trial) => {
      const rows = errorFunction.slice(-count);
      const x = Float64Array.from(rows, ([at]) => sign * at);
      const y = trial.output(
        rows.map(([, value]) => sign * value),
        'float64',
      );
      trial.assembler.unary('erf', trial.input(x), y, count, 0, 0, 'float64');
    }),
  ),
};

const products = [
  [0, 3, 4],
  [1, 1, 1],
  [2, 5, 0],
  [7, 9, 13],
  [70, 300, 40],
] as const;

export const productRow: Row = {
  name: 'product of float64 and integers',
  opcodes: [op.PRODUCT],
  tolerance: 1e-13,
  cases: products.flatMap(([m, n, k]) =>
    (['float64', 'int32', 'uint32', 'int64', 'uint64'] as const).flatMap((type) =>
      [true, false].map((transposed) => (trial: Trial) => {
        const isWide = type.endsWith('int64');
        const [a, b] = [m * k, k * n].map((count) =>
          Array.from({ length: count }, () => {
            const value = trial.random(type.startsWith('u') ? 0 : -1e6, 1e6);
            return type === 'float64' ? value : Math.trunc(value);
          }),
        ) as [number[], number[]];
        const expected = Array.from({ length: m * n }, (_, at) => {
          const [row, column] = [Math.floor(at / n), at % n];
          let [sum, exact] = [0, 0n];
          for (let i = 0; i < k; i++) {
            const [x, y] = [a[row * k + i] as number, b[transposed ? column * k + i : i * n + column] as number];
            if (type === 'float64') sum += x * y;
            else exact += BigInt(x) * BigInt(y);
          }
          if (type === 'float64') return sum;
          return isWide ? exact : Number(wrap(type, exact));
        });
        const typed = (values: number[]) =>
          new (arrayOf(type))((isWide ? values.map(BigInt) : values) as never) as Float64Array;
        const y = trial.output(expected as number[], type);
        trial.assembler.product({
          type,
          a: trial.input(typed(a)),
          b: trial.input(typed(b)),
          c: y,
          m,
          n,
          k,
          transposed,
        });
      }),
    ),
  ),
};
