import { setTimeout } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FAULT_PLACE, FAULT_TRAP, FORK, GEMM } from '../../../assembly/opcodes.ts';
import { Assembler } from '../../../runtime/compile/assembler.ts';
import {
  type Address,
  address,
  type ConvShape,
  SPACE_ARENA,
  SPACE_WEIGHTS,
} from '../../../runtime/compile/instructions.ts';
import type { Program } from '../../../runtime/compile/program.ts';
import { Core } from '../../../runtime/engine/core.ts';
import { CoreBlock } from '../../../runtime/engine/core-block.ts';
import type { Stop } from '../../../runtime/engine/core-messages.ts';
import { loadKernels, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { LoadedProgram } from '../../../runtime/engine/loaded-program.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import { Random } from '../../random.ts';

prepareV8();

const SEED = Number(process.env.SEED ?? 20261130);
console.log(`seed ${SEED}`);
const random = new Random(SEED);

const DONE = -1;
/** The last instruction of a program; and a word of a run's lanes (assembly/sharing.ts, Lanes). */
const END = 0x100;
const LANES_SECTION = 2;
/** Large enough for chunks of several kinds: patches with scratch memory, Winograd's blocks, parts of one instruction each. */
const SIDE = 40;
const CHANNELS = 16;
const IMAGE = SIDE * SIDE * CHANNELS;
const BYTES = IMAGE * 4;

const shape = (kernel: number, stride: number): ConvShape => {
  const side = SIDE / stride;
  const pad = (kernel - 1) / 2;
  return {
    batch: 1,
    inputHeight: SIDE,
    inputWidth: SIDE,
    inputChannels: CHANNELS,
    outputHeight: side,
    outputWidth: side,
    outputChannels: CHANNELS,
    kernel: [kernel, kernel],
    strides: [stride, stride],
    dilations: [1, 1],
    pads: [pad, pad, pad, pad],
    group: 1,
  };
};

function weightsOf(count: number): Float32Array {
  return Float32Array.from(random.tensor([count]).data as Float32Array, (value) => value / 8);
}

/** `rounds` times: a convolution by patches, one by Winograd's algorithm, an activation, a product. */
function convolutions(weights: MemoryWeights, rounds: number): Program {
  const assembler = new Assembler({ panel: 8 });
  const place = (key: string, make: () => ArrayBufferView): Address => address(SPACE_WEIGHTS, weights.place(key, make));
  const [first, second, scratch] = [0, BYTES, 2 * BYTES].map((offset) => address(SPACE_ARENA, offset)) as [
    Address,
    Address,
    Address,
  ];
  const [wide, square] = [shape(7, 1), shape(3, 1)];
  const scratchBytes = 8 << 20;
  const bias = place('bias', () => assembler.packBias(undefined, CHANNELS));
  const patches = place('patches', () => assembler.packConv(weightsOf(49 * CHANNELS * CHANNELS), wide));
  const tiles = place('tiles', () => assembler.packWinograd(weightsOf(9 * CHANNELS * CHANNELS), square));
  const matrix = place('matrix', () => assembler.packGemm(weightsOf(CHANNELS * CHANNELS), CHANNELS, CHANNELS));
  for (let round = 0; round < rounds; round++) {
    assembler.begin(`round ${round}`, { offset: 2 * BYTES, bytes: scratchBytes });
    const activation = { kind: 'clip', min: -1, max: 1 } as const;
    assembler.conv({ x: first, weights: patches, bias, y: second, scratch, shape: wide, activation });
    assembler.convWinograd({ x: second, weights: tiles, bias, y: first, scratch, shape: square, activation });
    assembler.unary('sigmoid', first, second, IMAGE);
    const product = { a: second, lda: CHANNELS, packedB: matrix, c: first, ldc: CHANNELS };
    assembler.gemm({ ...product, m: SIDE * SIDE, n: CHANNELS, k: CHANNELS });
  }
  const value = { type: 'float32', dims: [SIDE, SIDE, CHANNELS], address: first } as const;
  const ends = { inputs: [{ ...value, name: 'x' }], outputs: [{ ...value, name: 'y' }] };
  return { ...assembler.finish(), ...ends, arenaBytes: 2 * BYTES + scratchBytes };
}

interface Bench {
  readonly memory: EngineMemory;
  readonly weights: MemoryWeights;
  readonly cores: readonly Core[];
}

/** Closes what a test has set up, also when it fails: its threads and its timer would keep the process. */
const closing: (() => Promise<void>)[] = [];
test.after.each(async () => {
  for (const close of closing.splice(0)) await close();
});

async function setup(count: number): Promise<Bench> {
  const memory = new EngineMemory(256 << 20);
  const kernels = loadKernels(memory.memory, { build: 'plain' });
  memory.reserve(kernels.heapBase);
  const blocks = CoreBlock.allocate(memory, count);
  const setup = { memory: memory.memory, build: kernels.build, module: kernels.module, blocks };
  const cores = Array.from({ length: count }, (_, index) => new Core({ ...setup, index }));
  // Threads that have nothing to do keep no process alive.
  const alive = setInterval(() => {}, 1000);
  await Promise.all(cores.map((core) => core.start()));
  closing.push(async () => {
    clearInterval(alive);
    await Promise.all(cores.map((core) => core.close()));
  });
  return { memory, weights: new MemoryWeights(memory, 'm', 1 << 20), cores };
}

const x = { type: 'float32', dims: [SIDE, SIDE, CHANNELS], data: random.tensor([SIDE, SIDE, CHANNELS]).data } as const;

/** A run that may be suspended and resumed on other cores. */
class Run {
  readonly #program: LoadedProgram;
  readonly #arena: number;
  readonly lanes: number;
  pc = 0;

  constructor(bench: Bench, program: LoadedProgram) {
    this.#program = program;
    this.#arena = program.openArena('m');
    this.lanes = program.openLanes(bench.cores.length, 'm');
    program.writeInputs(this.#arena, { x });
  }

  /** With `flag` 1 it stops at the next instruction. */
  async go(owner: Core, helpers: readonly Core[], flag: 0 | 1 = 0): Promise<Stop> {
    const { block } = owner;
    this.#program.writeBases(block.bases, this.#arena);
    block.setHelpers(
      this.lanes,
      helpers.map((helper) => helper.block),
    );
    block.setFlag(flag);
    const segment = { words: this.#program.words, pc: this.pc, bases: block.bases, flag: block.flag };
    const stop = await owner.execute(segment, helpers);
    this.pc = stop.result;
    return stop;
  }

  end(): Float32Array {
    const { y } = this.#program.readOutputs(this.#arena);
    this.#program.closeArena(this.#arena);
    this.#program.closeArena(this.lanes);
    return y?.data as Float32Array;
  }
}

function load({ memory, weights }: Bench, rounds: number): LoadedProgram {
  return new LoadedProgram(convolutions(weights, rounds), weights, memory, 'm');
}

test('a program marks sections of at least two chunks, and needs scratch memory for further cores', async () => {
  const bench = await setup(1);
  const { words, laneBytes } = convolutions(bench.weights, 1);
  const chunks: number[] = [];
  for (let at = 0; (words[at] as number) !== END; at += (words[at] as number) >>> 8)
    if (((words[at] as number) & 0xff) === FORK) chunks.push(words[at + 2] as number);
  assert.is(chunks.length, 4, `${chunks}`);
  assert.ok(
    chunks.every((count) => count >= 2),
    `${chunks}`,
  );
  assert.ok(laneBytes > 0);
});

test('one, two and three cores come to the same bits', async () => {
  const bench = await setup(3);
  const [first, second, third] = bench.cores as [Core, Core, Core];
  const program = load(bench, 20);
  const answers: Float32Array[] = [];
  for (const helpers of [[], [second], [second, third], [third]]) {
    const run = new Run(bench, program);
    assert.is((await run.go(first, helpers)).result, DONE);
    answers.push(run.end());
  }
  assert.ok(answers[0]?.some((value) => value !== 0));
  for (const answer of answers) assert.equal(answer, answers[0]);
});

test('a run that is suspended again and again, between and within chunks, and goes on on other cores, comes to the same bits', async () => {
  const bench = await setup(3);
  const program = load(bench, 40);
  const undisturbed = new Run(bench, program);
  await undisturbed.go(bench.cores[0] as Core, []);
  const expected = undisturbed.end();
  let stops = 0;
  for (let attempt = 0; attempt < 10; attempt++) {
    const run = new Run(bench, program);
    let begun = 0;
    do {
      const owner = bench.cores[random.below(3)] as Core;
      const helpers = bench.cores.filter((core) => core !== owner && random.below(3) > 0);
      // How far a run gets until the timer ends depends on the machine: so each stops a few times at once.
      const going = run.go(owner, helpers, begun++ < 3 ? 1 : 0);
      await setTimeout(random.below(4));
      owner.block.setFlag(1);
      const { result, trap } = await going;
      assert.is(trap, undefined);
      assert.ok(result >= DONE, `${result}`);
      stops++;
    } while (run.pc !== DONE);
    assert.equal(run.end(), expected);
  }
  assert.ok(stops > 20, `only ${stops} stops`);
});

/** Changes a word of every chunk of the first section of matrix products: that at `operand`, 0 for the opcode. */
function spoil({ memory }: Bench, program: LoadedProgram, operand: number, value: number): void {
  const words = memory.words(program.words, (memory.memory.buffer.byteLength - program.words) / 4);
  const word = (at: number): number => words[at] as number;
  const firstOf = (fork: number): number => fork + word(fork + 3);
  let at = 0;
  while ((word(at) & 0xff) !== FORK || (word(firstOf(at)) & 0xff) !== GEMM) at += word(at) >>> 8;
  for (let chunk = 0; chunk < word(at + 2); chunk++) {
    const place = at + word(at + 3 + chunk) + operand;
    words[place] = operand === 0 ? (word(place) & ~0xff) | value : value;
  }
}

test('a run that goes on elsewhere than where it was suspended ends with a fault instead of writing where it should not', async () => {
  const bench = await setup(2);
  const [first, second] = bench.cores as [Core, Core];
  const program = load(bench, 2);
  const run = new Run(bench, program);
  const { words } = convolutions(bench.weights, 2);
  const forks: number[] = [];
  for (let at = 0; (words[at] as number) !== END; at += (words[at] as number) >>> 8)
    if (((words[at] as number) & 0xff) === FORK) forks.push(at);
  const [begun = 0, other = 0] = forks;
  // As if one core alone, without its lanes, had gone on with it meanwhile.
  bench.memory.words(run.lanes, 4)[LANES_SECTION] = 1 + begun;
  run.pc = other;
  const { result, faultWord } = await run.go(second, [first]);
  assert.equal([result, faultWord], [-(2 + FAULT_PLACE), other]);
  run.end();
  const next = new Run(bench, program);
  assert.is((await next.go(first, [second])).result, DONE);
  next.end();
});

test('a fault in chunks ends the run, whoever met it, with its node, and the cores go on', async () => {
  const bench = await setup(2);
  const [first, second] = bench.cores as [Core, Core];
  const good = load(bench, 2);
  const broken = load(bench, 2);
  spoil(bench, broken, 0, 0xfe);
  for (let attempt = 0; attempt < 20; attempt++) {
    const run = new Run(bench, broken);
    const { result, faultWord, trap } = await run.go(first, [second]);
    assert.is(trap, undefined);
    assert.is(result, -2);
    assert.is(broken.nodeAt(faultWord), 'round 0');
    run.end();
    const next = new Run(bench, good);
    assert.is((await next.go(second, [first])).result, DONE);
    next.end();
  }
});

test('a trap in chunks ends the run, whoever met it, and the cores go on', async () => {
  const bench = await setup(2);
  const [first, second] = bench.cores as [Core, Core];
  const good = load(bench, 2);
  const wild = load(bench, 2);
  // The left matrix lies behind the words of the activation.
  spoil(bench, wild, 6, address(SPACE_ARENA, 0x3ffffff0));
  for (let attempt = 0; attempt < 20; attempt++) {
    const run = new Run(bench, wild);
    const { result, trap } = await run.go(first, [second]);
    // The core that has the run hears of a helper's trap as of a fault.
    if (trap === undefined) assert.is(result, -(2 + FAULT_TRAP));
    else assert.match(trap, /memory access out of bounds/);
    run.end();
    const next = new Run(bench, good);
    assert.is((await next.go(second, [first])).result, DONE);
    next.end();
  }
});

test('when the thread of a helper dies, the run is lost, and both cores get new threads', async () => {
  const threads: Worker[] = [];
  const note = (worker: Worker): void => void threads.push(worker);
  process.on('worker', note);
  const bench = await setup(2);
  process.off('worker', note);
  const [first, second] = bench.cores as [Core, Core];
  const program = load(bench, 400);
  const run = new Run(bench, program);
  const going = run.go(first, [second]).then(
    () => 'an answer',
    (error) => String(error),
  );
  await setTimeout(30);
  await (threads[1] as Worker).terminate();
  assert.match(await going, /the computing thread ended/);
  const next = new Run(bench, load(bench, 2));
  assert.is((await next.go(first, [second])).result, DONE);
  next.end();
});

test.run();
