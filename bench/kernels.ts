/**
 * Throughput of the kernels on this machine, best of several runs: a sanity check beside a change, not a benchmark to publish.
 *   node bench/kernels.ts [revectorized|relaxed|plain]
 */
import { Assembler } from '../runtime/compile/assembler.ts';
import { type Address, address, type ConvShape, SPACE_ARENA } from '../runtime/compile/instructions.ts';
import { isWinograd, winogradScratchBytes } from '../runtime/compile/winograd.ts';
import { chooseBuild } from '../runtime/engine/choose-build.ts';
import { type KernelBuild, loadKernels, prepareV8 } from '../runtime/engine/kernels.ts';

const ROUNDS = 30;
const MEBIBYTE = 1 << 20;

prepareV8();
const memory = new WebAssembly.Memory({ initial: 2048, maximum: 2048, shared: true });
const asked = process.argv[2] as KernelBuild | undefined;
const { build, notes } = asked ? { build: asked, notes: [] } : chooseBuild();
const kernels = loadKernels(memory, { build });
const [bases, words, arena] = [MEBIBYTE, 2 * MEBIBYTE, 8 * MEBIBYTE];
new Uint32Array(memory.buffer, bases, 3).fill(arena);
let used = 0;

/** Space that holds numbers: memory never written to reads faster or slower than real data. */
function floats(count: number): Address {
  const values = new Float32Array(memory.buffer, arena + used, count);
  for (let i = 0; i < count; i++) values[i] = ((i * 7919) % 1000) / 1000 - 0.5;
  const result = address(SPACE_ARENA, used);
  used += Math.ceil(count / 16) * 64;
  return result;
}

function constant(values: Float32Array): Address {
  const result = floats(values.length);
  new Float32Array(memory.buffer, arena + result, values.length).set(values);
  return result;
}

function time(name: string, work: number, unit: string, emit: (assembler: Assembler) => void): void {
  used = 0;
  const assembler = new Assembler(kernels.traits);
  emit(assembler);
  const program = assembler.finish();
  new Uint32Array(memory.buffer, words, program.words.length).set(program.words);
  let best = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const started = performance.now();
    if (kernels.execute(words, 0, bases, bases + 64) !== -1) throw new Error(`${name} did not finish`);
    best = Math.min(best, performance.now() - started);
  }
  console.log(`${name.padEnd(34)} ${(work / best / 1e6).toFixed(1).padStart(7)} ${unit}  ${best.toFixed(3)} ms`);
}

function gemm(m: number, n: number, k: number): void {
  time(`gemm ${m}x${k}x${n}`, 2 * m * n * k, 'GFLOP/s', (assembler) => {
    const packedB = constant(assembler.packGemm(new Float32Array(k * n).fill(0.5), k, n));
    assembler.gemm({ a: floats(m * k), lda: k, packedB, c: floats(m * n), ldc: n, m, n, k });
  });
}

function conv(
  name: string,
  size: number,
  inputChannels: number,
  outputChannels: number,
  kernel: number,
  stride = 1,
  group = 1,
): void {
  const pad = kernel >> 1;
  const out = Math.floor((size + 2 * pad - kernel) / stride) + 1;
  const shape: ConvShape = {
    batch: 1,
    inputHeight: size,
    inputWidth: size,
    inputChannels,
    outputHeight: out,
    outputWidth: out,
    outputChannels,
    group,
    kernel: [kernel, kernel],
    strides: [stride, stride],
    dilations: [1, 1],
    pads: [pad, pad, pad, pad],
  };
  const weights = new Float32Array(((outputChannels * inputChannels) / group) * kernel * kernel).fill(0.5);
  const work = (2 * out * out * outputChannels * inputChannels * kernel * kernel) / group;
  const shapes = `${inputChannels}->${outputChannels} ${size}x${size}`;
  const operands = (assembler: Assembler) => ({
    x: floats(size * size * inputChannels),
    bias: constant(assembler.packBias(undefined, outputChannels)),
    y: floats(out * out * outputChannels),
    shape,
    activation: { kind: 'clip', min: 0, max: 6 } as const,
  });
  time(`${name} ${shapes}`, work, 'GFLOP/s', (assembler) => {
    const scratch = floats(assembler.convScratchBytes(shape) / 4);
    assembler.conv({ ...operands(assembler), weights: constant(assembler.packConv(weights, shape)), scratch });
  });
  if (!isWinograd(shape)) return;
  time(`  by Winograd ${shapes}`, work, 'GFLOP/s', (assembler) => {
    const scratch = floats(winogradScratchBytes(shape) / 4);
    assembler.convWinograd({
      ...operands(assembler),
      weights: constant(assembler.packWinograd(weights, shape)),
      scratch,
    });
  });
}

console.log(`build ${[build, ...notes].join('; ')}`);
gemm(480, 512, 512);
gemm(128, 768, 768);
gemm(1, 1000, 1280);
conv('conv 3x3', 56, 64, 64, 3);
conv('conv 3x3', 14, 256, 256, 3);
conv('conv 3x3', 7, 512, 512, 3);
conv('conv 5x5', 35, 48, 64, 5);
conv('conv 3x3', 64, 131, 131, 3);
conv('conv 3x3', 160, 96, 24, 3);
conv('conv 3x3 stride 2', 224, 3, 32, 3, 2);
conv('pointwise', 56, 144, 24, 1);
conv('pointwise', 56, 24, 144, 1);
conv('pointwise', 7, 960, 160, 1);
conv('depthwise 3x3', 56, 144, 144, 3, 1, 144);
conv('depthwise 3x3 stride 2', 56, 144, 144, 3, 2, 144);
conv('depthwise 3x3', 7, 960, 960, 3, 1, 960);
conv('depthwise 5x5', 28, 96, 96, 5, 1, 96);
const count = 56 * 56 * 144;
for (const name of ['relu', 'exp', 'sigmoid', 'silu', 'tanh', 'gelu'] as const)
  time(name, count * 8, 'GB/s', (assembler) => assembler.unary(name, floats(count), floats(count), count));
time('add', count * 12, 'GB/s', (assembler) =>
  assembler.binary('add', floats(count), floats(count), floats(count), [count], [1], [1]),
);
time('softmax 40000x4', 40000 * 4 * 8, 'GB/s', (assembler) =>
  assembler.softmax(floats(160000), floats(160000), 40000, 4, 1),
);
time('softmax 1536x128', 1536 * 128 * 8, 'GB/s', (assembler) =>
  assembler.softmax(floats(1536 * 128), floats(1536 * 128), 1536, 128, 1),
);
time('layerNorm 512x768', 512 * 768 * 8, 'GB/s', (assembler) =>
  assembler.layerNorm({
    ...{ x: floats(512 * 768), y: floats(512 * 768), scale: floats(768), bias: floats(768) },
    ...{ rows: 512, size: 768, epsilon: 1e-5 },
  }),
);
time('transpose 3136x144', count * 8, 'GB/s', (assembler) =>
  assembler.copy({
    x: floats(count),
    y: floats(count),
    elementBytes: 4,
    shape: [144, 3136],
    xStrides: [1, 144],
    yStrides: [3136, 1],
  }),
);
