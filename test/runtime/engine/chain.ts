/** Programs of matrix products whose results follow from angles; for tests of how runs are served. */
import * as assert from 'uvu/assert';
import { Assembler } from '../../../runtime/compile/assembler.ts';
import { address, SPACE_ARENA, SPACE_WEIGHTS } from '../../../runtime/compile/instructions.ts';
import type { Program } from '../../../runtime/compile/program.ts';
import { BATCH_SIZES, Batches } from '../../../runtime/engine/batches.ts';
import { LoadedProgram } from '../../../runtime/engine/loaded-program.ts';
import type { EngineMemory } from '../../../runtime/engine/memory.ts';
import type { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import type { RunResult } from '../../../runtime/engine/model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';

const SIZE = 64;
const BYTES = SIZE * SIZE * 4;

/** y = x · Wᶜᵒᵘⁿᵗ for a W that turns and shrinks nothing, so that values stay small however long the program is; of several runs together. */
export function chainProgram(weights: MemoryWeights, count: number, runs = 1): Program {
  const assembler = new Assembler({ panel: 8 });
  const packed = weights.place('w', () => assembler.packGemm(rotation(), SIZE, SIZE));
  const places = [address(SPACE_ARENA, 0), address(SPACE_ARENA, runs * BYTES)] as const;
  for (let i = 0; i < count; i++) {
    assembler.begin(`step ${i}`);
    const [a, c] = i % 2 === 0 ? places : [places[1], places[0]];
    assembler.gemm({
      a,
      lda: SIZE,
      packedB: address(SPACE_WEIGHTS, packed),
      c,
      ldc: SIZE,
      m: runs * SIZE,
      n: SIZE,
      k: SIZE,
    });
  }
  const value = { type: 'float32', dims: [runs * SIZE, SIZE] } as const;
  return {
    ...assembler.finish(),
    arenaBytes: 2 * runs * BYTES,
    ...(runs > 1 && { batch: { runs, axes: { x: 0, y: 0 } } }),
    inputs: [{ ...value, name: 'x', address: places[0] }],
    outputs: [{ ...value, name: 'y', address: count % 2 === 0 ? places[0] : places[1] }],
  };
}

export function chain(weights: MemoryWeights, memory: EngineMemory, count: number): LoadedProgram {
  return new LoadedProgram(chainProgram(weights, count), weights, memory, 'm');
}

/** The same with programs for several runs together. */
export function chainWithBatches(weights: MemoryWeights, memory: EngineMemory, count: number): LoadedProgram {
  const program = chain(weights, memory, count);
  program.batches = new Batches(program, { x: 0 }, { x });
  for (const runs of BATCH_SIZES)
    program.batches.add(new LoadedProgram(chainProgram(weights, count, runs), weights, memory, 'm'));
  return program;
}

/** Rotations by different angles in the planes (0, 1), (2, 3) … */
function rotation(): Float32Array {
  const w = new Float32Array(SIZE * SIZE);
  for (let i = 0; i < SIZE; i += 2) {
    const [cos, sin] = [Math.cos(1 + i), Math.sin(1 + i)];
    w[i * SIZE + i] = w[(i + 1) * SIZE + i + 1] = cos;
    w[i * SIZE + i + 1] = sin;
    w[(i + 1) * SIZE + i] = -sin;
  }
  return w;
}

export const x: Tensor = {
  type: 'float32',
  dims: [SIZE, SIZE],
  data: Float32Array.from({ length: SIZE * SIZE }, (_, i) => Math.sin(i)),
};

/** The same by angles, in float64. */
export function expected(count: number): Float32Array {
  const y = new Float32Array(SIZE * SIZE);
  for (let at = 0; at < y.length; at += 2) {
    const angle = (1 + (at % SIZE)) * count;
    const [a, b] = [x.data[at] as number, x.data[at + 1] as number];
    y[at] = a * Math.cos(angle) - b * Math.sin(angle);
    y[at + 1] = a * Math.sin(angle) + b * Math.cos(angle);
  }
  return y;
}

export function assertClose(result: RunResult, count: number): void {
  const want = expected(count);
  const worst = want.reduce(
    (max, value, i) => Math.max(max, Math.abs(value - (tensorsOf(result.outputs).y?.data[i] as number))),
    0,
  );
  assert.ok(worst < 1e-7 * (count + 100), `off by ${worst} after ${count} steps`);
}

export async function rejects(promise: Promise<unknown>, message: RegExp): Promise<void> {
  const error = await promise.then(
    () => assert.unreachable('it was accepted'),
    (reason) => reason,
  );
  assert.match(String(error), message);
}
