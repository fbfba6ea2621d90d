import * as op from '../../assembly/opcodes.ts';
import type { Activation } from '../../runtime/compile/instructions.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';
import * as reference from './reference.ts';

export const activations: readonly [Activation, (x: number) => number][] = [
  [{ kind: 'none' }, (x) => x],
  [{ kind: 'clip', min: 0, max: Infinity }, (x) => Math.max(x, 0)],
  [{ kind: 'clip', min: -0.5, max: 0.25 }, (x) => Math.min(Math.max(x, -0.5), 0.25)],
  [{ kind: 'leakyRelu', alpha: 0.1 }, (x) => (x < 0 ? 0.1 * x : x)],
  [{ kind: 'sigmoid' }, reference.sigmoid],
  [{ kind: 'silu' }, (x) => x * reference.sigmoid(x)],
  [{ kind: 'hardSigmoid', alpha: 0.2, beta: 0.5 }, (x) => Math.min(Math.max(0.2 * x + 0.5, 0), 1)],
  [{ kind: 'hardSwish', alpha: 1 / 6, beta: 0.5 }, (x) => x * Math.min(Math.max(x / 6 + 0.5, 0), 1)],
  [{ kind: 'tanh' }, Math.tanh],
];

interface GemmOptions {
  readonly bias?: boolean;
  readonly residual?: boolean;
  readonly activation?: Activation;
  readonly after?: (x: number) => number;
  /** Elements by which rows of A and C are longer than needed. */
  readonly slack?: number;
}

function gemmCase(m: number, n: number, k: number, options: GemmOptions = {}): (trial: Trial) => void {
  return (trial) => {
    const { slack = 0, after = (x: number) => x } = options;
    const [lda, ldc] = [k + slack, n + slack];
    const a = trial.floats(m * lda);
    const b = trial.floats(k * n);
    const bias = options.bias ? trial.floats(n) : undefined;
    const before = trial.floats(m * ldc);
    const dense = Float32Array.from({ length: m * k }, (_, i) => a[Math.floor(i / k) * lda + (i % k)] as number);
    const product = reference.gemm(dense, b, m, n, k);
    const expected = Float64Array.from(before, (old, i) => {
      const [row, column] = [Math.floor(i / ldc), i % ldc];
      if (column >= n) return old; // rows of C are not written beyond n
      const sum = (product[row * n + column] as number) + (bias?.[column] ?? 0) + (options.residual ? old : 0);
      return after(sum);
    });
    const c = trial.inPlace(before, expected);
    trial.assembler.gemm({
      a: trial.input(a),
      lda,
      packedB: trial.input(trial.assembler.packGemm(b, k, n), 'weights'),
      c,
      ldc,
      m,
      n,
      k,
      bias: bias && trial.input(bias, 'weights'),
      residual: options.residual ? c : undefined,
      activation: options.activation,
    });
  };
}

/** Sizes around the micro-kernel's 6 rows and panels of 8 and 16 columns. */
const gemmSizes = [
  [1, 1, 1],
  [1, 3, 5],
  [1, 31, 4],
  [1, 32, 4],
  [1, 33, 9],
  [1, 1000, 64],
  [1, 70, 1100],
  [2, 8, 3],
  [3, 7, 31],
  [4, 16, 2],
  [5, 17, 9],
  [6, 15, 8],
  [6, 16, 16],
  [7, 13, 31],
  [11, 33, 7],
  [12, 48, 40],
  [13, 31, 1],
  [100, 24, 17],
  [5, 40, 1025],
  [14, 20, 2100],
  [70, 130, 300],
  // So few columns that vectors run along the sums, when those are whole eights.
  [1, 1, 8],
  [4, 2, 16],
  [7, 3, 24],
  [13, 4, 40],
  [9, 19, 16],
  [70, 1, 1032],
] as const;

export const gemmRows: readonly Row[] = [
  {
    name: 'gemm',
    opcodes: [op.GEMM],
    tolerance: 4e-5,
    cases: [
      ...gemmSizes.flatMap(([m, n, k]) => [gemmCase(m, n, k), gemmCase(m, n, k, { bias: true, slack: 3 })]),
      ...[1, 2, 3, 4, 5, 6].map((m) => gemmCase(m, 41, 10, { bias: true, residual: true })),
      ...[1, 2, 3, 4].map((n) => gemmCase(11, n, 48, { bias: true, residual: true, slack: 1 })),
      gemmCase(13, 37, 1500, {
        bias: true,
        residual: true,
        activation: { kind: 'clip', min: 0, max: 6 },
        after: (x) => Math.min(Math.max(x, 0), 6),
      }),
      ...activations.flatMap(([activation, after]) => [
        gemmCase(7, 19, 11, { bias: true, activation, after }),
        gemmCase(7, 19, 11, { residual: true, slack: 5, activation, after }),
      ]),
      gemmCase(3, 5, 0, { bias: true }),
    ],
  },
  {
    name: 'gemm of a matrix packed at run time',
    opcodes: [op.PACK_MATRIX, op.GEMM],
    tolerance: 1e-5,
    cases: [
      [1, 1, 1],
      [7, 13, 31],
      [6, 16, 8],
      [5, 40, 33],
      [9, 3, 16],
      [6, 20, 24],
      [9, 1200, 100],
    ].flatMap(([m, n, k]) =>
      [false, true].map((transposed) => (trial: Trial) => {
        const [rows, columns, depth] = [m as number, n as number, k as number];
        const [a, b] = [trial.floats(rows * depth), trial.floats(depth * columns)];
        const packedB = trial.scratch(trial.assembler.packedBytes(depth, columns));
        trial.assembler.packMatrix(trial.input(b), packedB, depth, columns, transposed);
        const c = trial.output(reference.gemm(a, b, rows, columns, depth, transposed));
        trial.assembler.gemm({
          a: trial.input(a),
          lda: depth,
          packedB,
          c,
          ldc: columns,
          m: rows,
          n: columns,
          k: depth,
        });
      }),
    ),
  },
];
