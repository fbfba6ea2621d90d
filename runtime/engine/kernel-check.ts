/**
 * Checked, then trusted: a faster build of the kernels earns its use by agreeing with plain loops on this machine. Small enough to take
 * a few milliseconds at each start, most of them the compilation of functions that are needed anyway.
 */
import { byteConvScratchBytes } from '../compile/assemble-bytes.ts';
import { Assembler } from '../compile/assembler.ts';
import { type Address, address, type ConvShape, SPACE_ARENA } from '../compile/instructions.ts';
import { packByteConv } from '../compile/pack-bytes.ts';
import type { KernelTraits } from '../compile/traits.ts';
import { winogradScratchBytes } from '../compile/winograd.ts';
import { nowMs } from './core-messages.ts';

interface Executor {
  readonly traits: KernelTraits;
  readonly heapBase: number;
  execute(words: number, pc: number, bases: number, flag: number): number;
}

const TOLERANCE = 1e-4;
const ALIGNMENT = 64;
/** Of a bias and of factors: more than there are outputs. */
const CHANNELS_READ = 64;

/** Room for small programs and their data, which lie one behind the other; everything is in the arena. */
class Bench {
  readonly #memory: WebAssembly.Memory;
  readonly #executor: Executor;
  readonly #bases: number;
  readonly #flag: number;
  readonly #arena: number;
  #used = 0;

  constructor(memory: WebAssembly.Memory, executor: Executor) {
    this.#memory = memory;
    this.#executor = executor;
    this.#bases = Math.ceil(executor.heapBase / ALIGNMENT) * ALIGNMENT;
    this.#flag = this.#bases + 32;
    this.#arena = this.#bases + ALIGNMENT;
    new Uint32Array(memory.buffer, this.#bases, 3).fill(this.#arena);
  }

  #reserve(byteLength: number): number {
    const at = this.#used;
    this.#used += Math.ceil(byteLength / ALIGNMENT) * ALIGNMENT;
    return at;
  }

  place({ buffer, byteOffset, byteLength }: ArrayBufferView): Address {
    const at = this.#reserve(byteLength);
    this.bytes(at, byteLength).set(new Uint8Array(buffer, byteOffset, byteLength));
    return address(SPACE_ARENA, at);
  }

  bytes(at: number, count: number): Uint8Array {
    return new Uint8Array(this.#memory.buffer, this.#arena + at, count);
  }

  floats(at: number, count: number): Float32Array {
    return new Float32Array(this.#memory.buffer, this.#arena + at, count);
  }

  /** Loads a program; the result runs it. */
  load(assembler: Assembler): () => number {
    const { words } = assembler.finish();
    const at = this.#arena + this.#reserve(words.byteLength);
    new Uint32Array(this.#memory.buffer, at, words.length).set(words);
    return () => this.#executor.execute(at, 0, this.#bases, this.#flag);
  }
}

/** Numbers in [-1, 1) that look random and are the same each time. */
function numbers(count: number): Float32Array {
  const values = new Float32Array(count);
  let state = 1;
  for (let i = 0; i < count; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    values[i] = state / 2 ** 31 - 1;
  }
  return values;
}

const side = 7;
const image = { batch: 1, inputHeight: side, inputWidth: side, outputHeight: side, outputWidth: side };
const window3 = { kernel: [3, 3], strides: [1, 1], dilations: [1, 1], pads: [1, 1, 1, 1] } as const;
const dense: ConvShape = { ...image, ...window3, inputChannels: 3, outputChannels: 19, group: 1 };
const eights: ConvShape = { ...image, ...window3, inputChannels: 16, outputChannels: 8, group: 1 };
const depthwise: ConvShape = { ...image, ...window3, inputChannels: 12, outputChannels: 12, group: 12 };

function convReference(x: Float32Array, w: Float32Array, shape: ConvShape): number[] {
  const { inputChannels, outputChannels, group } = shape;
  const channels = inputChannels / group;
  const value = (pixel: number, output: number) => {
    let sum = 0;
    for (let tap = 0; tap < 9; tap++) {
      const row = Math.floor(pixel / side) + Math.floor(tap / 3) - 1;
      const column = (pixel % side) + (tap % 3) - 1;
      if (row < 0 || row >= side || column < 0 || column >= side) continue;
      const first = Math.floor(output / (outputChannels / group)) * channels;
      for (let c = 0; c < channels; c++)
        sum += at(x, (row * side + column) * inputChannels + first + c) * at(w, (output * channels + c) * 9 + tap);
    }
    return sum;
  };
  return Array.from({ length: side * side * outputChannels }, (_, i) =>
    value(Math.floor(i / outputChannels), i % outputChannels),
  );
}

const at = (values: Float32Array | Int8Array, index: number) => values[index] as number;

function checkConv(bench: Bench, traits: KernelTraits, shape: ConvShape, winograd = false): boolean {
  const assembler = new Assembler(traits);
  const x = numbers(side * side * shape.inputChannels);
  const w = numbers((shape.outputChannels * shape.inputChannels * 9) / shape.group);
  const y = bench.place(new Float32Array(side * side * shape.outputChannels));
  const call = {
    x: bench.place(x),
    weights: bench.place(winograd ? assembler.packWinograd(w, shape) : assembler.packConv(w, shape)),
    bias: bench.place(assembler.packBias(undefined, shape.outputChannels)),
    y,
    scratch: bench.place(
      new Float32Array((winograd ? winogradScratchBytes(shape) : assembler.convScratchBytes(shape)) / 4),
    ),
    shape,
  };
  if (winograd) assembler.convWinograd(call);
  else assembler.conv(call);
  bench.load(assembler)();
  return agrees(bench, y, convReference(x, w, shape));
}

function checkGemm(bench: Bench, traits: KernelTraits): boolean {
  const [m, n, k] = [13, 29, 11];
  const assembler = new Assembler(traits);
  const [a, b] = [numbers(m * k), numbers(k * n)];
  const c = bench.place(new Float32Array(m * n));
  const packedB = bench.place(assembler.packGemm(b, k, n));
  assembler.gemm({ a: bench.place(a), lda: k, packedB, c, ldc: n, m, n, k });
  bench.load(assembler)();
  const dot = (row: number, column: number) =>
    Array.from({ length: k }, (_, p) => at(a, row * k + p) * at(b, p * n + column)).reduce((sum, term) => sum + term);
  return agrees(
    bench,
    c,
    Array.from({ length: m * n }, (_, i) => dot(Math.floor(i / n), i % n)),
  );
}

/** Bytes at both ends of their range, whose products do not fit in 16 bits: exact, or not used. */
function checkBytes(bench: Bench, traits: KernelTraits): boolean {
  const { byteDot } = traits;
  if (!byteDot) return true;
  const [m, n, k] = [13, 29, 44];
  const row = { batch: 1, inputHeight: 1, outputHeight: 1, inputWidth: m, outputWidth: m };
  const window = { kernel: [1, 1], strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] } as const;
  const shape: ConvShape = { ...row, ...window, inputChannels: k, outputChannels: n, group: 1 };
  const ends = (count: number) =>
    Int8Array.from(numbers(count), (value) => Math.round(value * 4) * 64 - (value > 0 ? 1 : 0));
  const [x, w, factor] = [ends(m * k), ends(n * k), 2 ** -14];
  const y = bench.place(new Int8Array(m * n));
  const assembler = new Assembler(traits);
  assembler.convQuantized({
    ...{ x: bench.place(x), xType: 'int8', xZero: 3, weights: bench.place(packByteConv(w, shape)) },
    bias: bench.place(new Int32Array(CHANNELS_READ)),
    factor: bench.place(new Float32Array(CHANNELS_READ).fill(factor)),
    ...{ y, to: { type: 'int8', zero: 0, limits: [-128, 127] }, byteDot, shape },
    scratch: bench.place(new Int8Array(byteConvScratchBytes(shape, 'int8', byteDot))),
  });
  bench.load(assembler)();
  const actual = new Int8Array(bench.bytes(y, m * n));
  return actual.every((value, i) => {
    let sum = 0;
    for (let p = 0; p < k; p++) sum += (at(x, Math.floor(i / n) * k + p) - 3) * at(w, (i % n) * k + p);
    return Math.abs(Math.min(Math.max(sum * factor, -128), 127) - value) <= 0.5;
  });
}

function checkExp(bench: Bench, traits: KernelTraits): boolean {
  const assembler = new Assembler(traits);
  const x = numbers(37).map((value) => value * 5);
  const y = bench.place(x);
  assembler.unary('exp', y, y, x.length);
  bench.load(assembler)();
  return agrees(bench, y, Array.from(x, Math.exp));
}

/** Along rows, one of them with an even number of vectors, and along columns. */
function checkSoftmax(bench: Bench, traits: KernelTraits): boolean {
  return [
    { outer: 3, axis: 37, inner: 1 },
    { outer: 2, axis: 32, inner: 1 },
    { outer: 2, axis: 5, inner: 11 },
  ].every(({ outer, axis, inner }) => {
    const assembler = new Assembler(traits);
    const x = numbers(outer * axis * inner).map((value) => value * 5);
    const y = bench.place(x);
    assembler.softmax(y, y, outer, axis, inner);
    bench.load(assembler)();
    const expected = Array.from(x, Math.exp);
    const sums = new Float64Array(outer * inner);
    const lineOf = (i: number): number => Math.floor(i / (axis * inner)) * inner + (i % inner);
    for (const [i, value] of expected.entries()) sums[lineOf(i)] = (sums[lineOf(i)] as number) + value;
    return agrees(
      bench,
      y,
      expected.map((value, i) => value / (sums[lineOf(i)] as number)),
    );
  });
}

function agrees(bench: Bench, y: Address, expected: readonly number[]): boolean {
  const actual = bench.floats(y, expected.length);
  return expected.every((value, i) => Math.abs(value - at(actual, i)) <= TOLERANCE * Math.max(1, Math.abs(value)));
}

/** Says what disagreed, or nothing. Writes behind `heapBase`; the memory must have 512 KiB there. */
export function checkKernels(memory: WebAssembly.Memory, executor: Executor): string | undefined {
  const checks: Record<string, (bench: Bench, traits: KernelTraits) => boolean> = {
    gemm: checkGemm,
    'conv 3x3': (bench, traits) => checkConv(bench, traits, dense),
    'depthwise 3x3': (bench, traits) => checkConv(bench, traits, depthwise),
    'conv 3x3 by Winograd': (bench, traits) => checkConv(bench, traits, eights, true),
    'products of bytes': checkBytes,
    exp: checkExp,
    softmax: checkSoftmax,
  };
  const failed = Object.keys(checks).filter((name) => !checks[name]?.(new Bench(memory, executor), executor.traits));
  return failed.length > 0 ? `${failed.join(', ')} disagreed with a scalar reference` : undefined;
}

const TIMED_ROUNDS = 12;

/** Whether a panel of 16 columns beats one of 8 on this machine: it does where V8 fuses pairs, and loses where it does not. */
export function isWideFaster(memory: WebAssembly.Memory, executor: Executor): boolean {
  const bench = new Bench(memory, executor);
  const candidates = ([8, 16] as const).map((panel) => ({ panel, run: gemmProgram(bench, panel), best: Infinity }));
  for (let round = 0; round < TIMED_ROUNDS; round++)
    for (const candidate of candidates) {
      const started = nowMs();
      candidate.run();
      candidate.best = Math.min(candidate.best, nowMs() - started);
    }
  return candidates.sort((one, other) => one.best - other.best)[0]?.panel === 16;
}

function gemmProgram(bench: Bench, panel: 8 | 16): () => number {
  const [m, n, k] = [24, 32, 256];
  const assembler = new Assembler({ panel });
  const operands = { a: bench.place(numbers(m * k)), packedB: bench.place(assembler.packGemm(numbers(k * n), k, n)) };
  assembler.gemm({ ...operands, lda: k, c: bench.place(new Float32Array(m * n)), ldc: n, m, n, k });
  return bench.load(assembler);
}
