/**
 * Where our time goes inside one model: executes its program one instruction at a time (the flag that suspends a run is set throughout)
 * and takes the best of several passes for each.
 *   npm run profile -- CASE [--passes N --build revectorized|relaxed|plain --data DIR]
 */
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { createStyle, wantsColour } from '../fleet/cli/style.ts';
import { compileStage, type InputShape, NeedsValueError, prepare, startOf } from '../runtime/compile/compile.ts';
import type { Program } from '../runtime/compile/program.ts';
import { chooseBuild } from '../runtime/engine/choose-build.ts';
import { type KernelBuild, loadKernels, prepareV8 } from '../runtime/engine/kernels.ts';
import { LoadedProgram } from '../runtime/engine/loaded-program.ts';
import { EngineMemory } from '../runtime/engine/memory.ts';
import { MemoryWeights } from '../runtime/engine/memory-weights.ts';
import { readModel } from '../runtime/onnx/read.ts';
import { modelCases } from './cases/model-cases.ts';
import { operatorCases } from './cases/operator-cases.ts';
import type { Job } from './contenders/contender.ts';
import { machine } from './processes.ts';

const MEMORY_BYTES = 2 ** 30;
const NODES_MAX = 30;
const BASES_BYTES = 16;

/** Kernels by opcode: assembly/opcodes.ts lists them in order, before what they return. */
function kernelNames(): Map<number, string> {
  const file = new URL('../assembly/opcodes.ts', import.meta.url);
  const [opcodes = ''] = readFileSync(file, 'utf8').split('export const OK');
  const lines = opcodes.matchAll(/^export const (\w+) = (\d+);/gm);
  return new Map([...lines].map(([, name = '', code]) => [Number(code), name]));
}

/** Positions of operands, in words behind the opcode: assembly/operands.ts lists an instruction's in order, each one word long. */
function operandsOf(name: string): string[] {
  const file = new URL('../assembly/operands.ts', import.meta.url);
  const [, body = ''] = new RegExp(`^export class ${name} \\{$([^}]*)`, 'm').exec(readFileSync(file, 'utf8')) ?? [];
  return [...body.replaceAll(/\/\/.*/g, '').matchAll(/(\w+): \w+;/g)].map(([, operand = '']) => operand);
}

/** Multiplications and additions of the matrix products. */
function workCounter(words: Uint32Array): (kernel: string, pc: number) => number {
  const operands = new Map([
    ['GEMM', operandsOf('Gemm')],
    ['GEMM_INTEGER', operandsOf('IntegerGemm')],
    ['QUANTIZED_GEMM', operandsOf('QuantizedGemm')],
  ]);
  return (kernel, pc) => {
    const known = operands.get(kernel);
    if (!known) return 0;
    return ['m', 'n', 'k'].reduce((product, name) => product * (words[pc + 1 + known.indexOf(name)] as number), 2);
  };
}

interface Spent {
  readonly node: string;
  readonly kernel: string;
  /** 0 where it is not counted. */
  readonly operations: number;
  ms: number;
}

interface Profile {
  readonly instructions: readonly Spent[];
  /** Of the program executed in one go. */
  readonly wholeMs: number;
  readonly arenaBytes: number;
  readonly weightsBytes: number;
}

function compileFor(job: Job, bytes: Uint8Array, weights: MemoryWeights, panel: 8 | 16): Program {
  const prepared = prepare(readModel(bytes));
  const shapes: Record<string, InputShape> = { ...job.inputs };
  for (const [name, { type, dims }] of Object.entries(job.inputs)) shapes[name] = { type, dims };
  for (;;) {
    try {
      const stage = compileStage(prepared, startOf(prepared.model, shapes), weights, panel);
      if (stage.kind === 'program' && stage.program) return stage.program;
      throw new Error(`${job.name}: expected a model that begins with a program`);
    } catch (error) {
      if (!(error instanceof NeedsValueError)) throw error;
      for (const name of error.inputs) {
        const tensor = job.inputs[name];
        if (tensor) shapes[name] = { ...tensor, value: tensor };
      }
    }
  }
}

function profile(job: Job, passes: number, build: KernelBuild | undefined): Profile {
  prepareV8();
  const memory = new EngineMemory(MEMORY_BYTES);
  const kernels = loadKernels(memory.memory, { build: build ?? chooseBuild().build });
  memory.reserve(kernels.heapBase);
  const control = memory.allocate(BASES_BYTES + 4, 'the control block');
  const bytes = typeof job.model === 'string' ? new Uint8Array(readFileSync(job.model)) : job.model;
  const weights = new MemoryWeights(memory, job.name, bytes.length);
  const { words, ...program } = compileFor(job, bytes, weights, kernels.panel);
  const loaded = new LoadedProgram({ words, ...program }, weights, memory, job.name);
  const arena = loaded.openArena(job.name);
  new Uint32Array(memory.memory.buffer, control, 3).set([arena, weights.offset, loaded.tables]);
  const flag = new Int32Array(memory.memory.buffer, control + BASES_BYTES, 1);
  const names = kernelNames();
  // assembly/opcodes.ts: the low byte of an instruction's first word; 0 ends the program.
  const opcodeAt = (pc: number): number => (words[pc] as number) & 0xff;
  const workOf = workCounter(words);
  const spent = new Map<number, Spent>();
  let wholeMs = Infinity;
  for (let pass = 0; pass < passes; pass++) {
    loaded.writeInputs(arena, job.inputs);
    flag[0] = 1;
    for (let pc = 0; opcodeAt(pc) !== 0; ) {
      const started = performance.now();
      const next = kernels.execute(loaded.words, pc, control, control + BASES_BYTES);
      const ms = performance.now() - started;
      if (next < 0) throw new Error(`${job.name}: the kernels ended with ${next} in node "${loaded.nodeAt(pc)}"`);
      const kernel = names.get(opcodeAt(pc)) ?? 'unknown';
      const instruction = spent.get(pc) ?? { node: loaded.nodeAt(pc), kernel, operations: workOf(kernel, pc), ms };
      instruction.ms = Math.min(instruction.ms, ms);
      spent.set(pc, instruction);
      pc = next;
    }
    loaded.writeInputs(arena, job.inputs);
    flag[0] = 0;
    const started = performance.now();
    kernels.execute(loaded.words, 0, control, control + BASES_BYTES);
    wholeMs = Math.min(wholeMs, performance.now() - started);
  }
  return {
    instructions: [...spent.values()],
    wholeMs,
    arenaBytes: program.arenaBytes,
    weightsBytes: weights.byteLength,
  };
}

/** Time and count of all that share a label, the longest first. */
function totals(instructions: readonly Spent[], label: (spent: Spent) => string): string[][] {
  const sums = new Map<string, { ms: number; count: number; operations: number }>();
  for (const each of instructions) {
    const sum = sums.get(label(each)) ?? { ms: 0, count: 0, operations: 0 };
    sums.set(label(each), sum);
    sum.ms += each.ms;
    sum.operations += each.operations;
    sum.count++;
  }
  const all = instructions.reduce((sum, { ms }) => sum + ms, 0);
  return [...sums]
    .sort(([, a], [, b]) => b.ms - a.ms)
    .map(([name, { ms, count, operations }]) => [
      name,
      String(count),
      ms.toFixed(3),
      `${((ms / all) * 100).toFixed(1)}%`,
      operations > 0 ? (operations / ms / 1e6).toFixed(1) : '',
    ]);
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    passes: { type: 'string', default: '20' },
    build: { type: 'string' },
    data: { type: 'string' },
  },
});
const data = values.data ?? fileURLToPath(new URL('../../shared/data/', import.meta.url));
const cases = [...modelCases(data), ...operatorCases()];
const found = cases.find(({ name }) => name === positionals[0]);
if (!found) {
  console.error(`case "${positionals[0] ?? ''}": expected one of\n${cases.map(({ name }) => `  ${name}`).join('\n')}`);
  process.exit(1);
}
const result = profile(await found.job(), Number(values.passes), values.build as KernelBuild | undefined);
const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
const header = (what: string): string[] => [what, 'instructions', 'ms', 'share', 'GFLOP/s'];
console.log(
  style.table(
    header('kernel'),
    totals(result.instructions, ({ kernel }) => kernel),
  ),
);
const nodes = totals(result.instructions, ({ node, kernel }) => `${node} ${kernel}`);
console.log(
  `\n${style.table(header(`node, kernel (the first ${NODES_MAX} of ${nodes.length})`), nodes.slice(0, NODES_MAX))}`,
);
const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
console.log(
  `\nin one go ${result.wholeMs.toFixed(3)} ms; arena ${megabytes(result.arenaBytes)}, weights ${megabytes(result.weightsBytes)}`,
);
console.log(machine());
