import * as op from '../../assembly/opcodes.ts';
import { BLOCK_COLUMNS, packBlocks } from '../../runtime/compile/pack-blocks.ts';
import type { Row } from './kernel-table.ts';
import type { Trial } from './machine.ts';

const levelsOf = (trial: Trial, count: number): number[] =>
  Array.from({ length: count }, () => Math.floor(trial.random(0, 16)));

export const unpackBlocksRow: Row = {
  name: 'unpackBlocks',
  opcodes: [op.UNPACK_BLOCKS],
  tolerance: 0,
  cases: [
    [1, 1, 16],
    [40, 37, 16],
    [65, 16, 32],
    [32, 40, 64],
    [300, 700, 128],
  ].flatMap(([rows, columns, size]) =>
    [false, true].map((hasZeros) => (trial: Trial) => {
      const [k, n, block] = [rows as number, columns as number, size as number];
      const blocks = Math.ceil(k / block);
      const levels = levelsOf(trial, k * n);
      const zeros = levelsOf(trial, blocks * n);
      const scales = Float32Array.from({ length: blocks * n }, () => trial.random(-2, 2));
      const zero = (part: number, j: number): number => (hasZeros ? (zeros[part * n + j] as number) : 8);
      const packed = packBlocks(k, n, block, {
        level: (p, j) => levels[p * n + j] as number,
        scale: (part, j) => scales[part * n + j] as number,
        zero: hasZeros ? zero : undefined,
      });
      const matrix = Float32Array.from({ length: k * n }, (_, i) => {
        const [part, j] = [Math.floor(Math.floor(i / n) / block), i % n];
        return ((levels[i] as number) - zero(part, j)) * (scales[part * n + j] as number);
      });
      const whole = new Float32Array(k * Math.ceil(n / BLOCK_COLUMNS) * BLOCK_COLUMNS);
      whole.set(trial.assembler.packGemm(matrix, k, n));
      const y = trial.output(Array.from(whole), 'float32');
      const table = { levels: trial.input(packed.levels), scales: trial.input(packed.scales) };
      const zeroTable = { zeros: trial.input(packed.zeros), isOneZero: !hasZeros };
      trial.assembler.unpackBlocks({
        ...table,
        ...zeroTable,
        y,
        k,
        block,
        begin: 0,
        end: Math.ceil(n / BLOCK_COLUMNS),
      });
    }),
  ),
};
