/** The form in which matrices of 4-bit numbers lie in memory: assembly/tensor/blocks.ts. */

/** Columns that lie side by side. */
export const BLOCK_COLUMNS = 16;

export interface Blocks {
  /** The number at row p of column j, 0 to 15. */
  level(p: number, j: number): number;
  /** Of a block of rows of a column. */
  scale(block: number, j: number): number;
  /** The same; absent where it is 8 everywhere. */
  readonly zero?: ((block: number, j: number) => number) | undefined;
}

export interface PackedBlocks {
  /** [groups of 16 columns, k, 8] */
  readonly levels: Uint8Array;
  /** [groups, blocks, 16] */
  readonly scales: Float32Array;
  /** [groups, blocks, 16], or [1, 1, 16]. */
  readonly zeros: Float32Array;
}

/** A matrix [k, n]; columns behind the last are 0. */
export function packBlocks(k: number, n: number, block: number, { level, scale, zero }: Blocks): PackedBlocks {
  const groups = Math.ceil(n / BLOCK_COLUMNS);
  const blocks = Math.ceil(k / block);
  const levels = new Uint8Array((groups * k * BLOCK_COLUMNS) / 2);
  const half = BLOCK_COLUMNS / 2;
  for (let j = 0; j < n; j++) {
    const [group, lane] = [Math.floor(j / BLOCK_COLUMNS), j % BLOCK_COLUMNS];
    const shift = lane < half ? 0 : 4;
    let at = group * k * half + (lane % half);
    for (let p = 0; p < k; p++, at += half) levels[at] = (levels[at] as number) | (level(p, j) << shift);
  }
  const perBlock = (value: (block: number, j: number) => number): Float32Array => {
    const values = new Float32Array(groups * blocks * BLOCK_COLUMNS);
    for (let j = 0; j < n; j++)
      for (let part = 0; part < blocks; part++) {
        const group = Math.floor(j / BLOCK_COLUMNS);
        values[(group * blocks + part) * BLOCK_COLUMNS + (j % BLOCK_COLUMNS)] = value(part, j);
      }
    return values;
  };
  return { levels, scales: perBlock(scale), zeros: zero ? perBlock(zero) : new Float32Array(BLOCK_COLUMNS).fill(8) };
}
