/**
 * Where the time of a model's runs goes: its programs are executed one instruction at a time (the flag that suspends a run is set
 * throughout), on the calling thread. Stages, and steps between programs, are those of an ordinary run.
 */

import { Assembler } from '../compile/assembler.ts';
import { compileStage, type Prepared, prepare, type Stage, type StageRequest } from '../compile/compile.ts';
import type { Node } from '../compile/graph.ts';
import { opcodeAt, opcodesBetween } from '../compile/instruction-words.ts';
import { address, SPACE_ARENA } from '../compile/instructions.ts';
import { subgraphPath } from '../compile/trace.ts';
import { bytesMoved, multiplyAddsOf, operationName } from '../compile/work.ts';
import type { ByteSource } from '../onnx/byte-source.ts';
import { externalReader } from '../onnx/external-io.ts';
import type { Graph, GraphNode } from '../onnx/graph.ts';
import { readModel } from '../onnx/read.ts';
import { hasOperator } from '../ops/index.ts';
import { checkInputs } from './check-inputs.ts';
import { chooseBuild } from './choose-build.ts';
import { type RunObserver, runModel } from './graph-runner.ts';
import { algorithmOf, kernelName } from './kernel-names.ts';
import { type KernelBuild, type Kernels, loadKernels, prepareV8 } from './kernels.ts';
import { LoadedProgram } from './loaded-program.ts';
import { EngineMemory } from './memory.ts';
import { MemoryWeights } from './memory-weights.ts';
import type { Model, RunResult } from './model.ts';
import { ownTimes, type Pass, Recorder, type Work } from './spans.ts';
import { type StageStore, Stages } from './stages.ts';
import type { Tensor } from './tensor.ts';
import type { EngineValue } from './value.ts';

const MEMORY_BYTES = 2 ** 32;
const CONTROL_BYTES = 64;
/** The flag lies behind the three base pointers. */
const FLAG = 12;
const PEAK_MS = 10;
const PEAK_RUNS_MIN = 4;

export interface Profile {
  readonly model: string;
  readonly build: KernelBuild;
  /** Operations in a second, in thousands of millions, of the best of some matrix products on this machine just now. */
  readonly peakGflops: number;
  /** The pass that compiled, and the quickest of those behind it. */
  readonly first: Pass;
  readonly best: Pass;
  /** Of each span of the quickest pass, without what lies inside: the least that it took in any pass. */
  readonly leastMs: readonly number[];
  readonly passes: number;
  /** The largest program's results, and the packed weights. */
  readonly arenaBytes: number;
  readonly weightBytes: number;
}

interface ProfiledProgram {
  readonly loaded: LoadedProgram;
  readonly opcodes: Uint32Array;
  /** By the words at which they begin. */
  readonly nodes: readonly { readonly word: number; readonly node: Node; readonly work: Work }[];
}

/** Keeps all stages: a profile is short. */
class ProfiledStages implements StageStore<ProfiledProgram> {
  readonly #known = new Map<string, Stage<ProfiledProgram>>();
  readonly #make: (request: StageRequest) => Stage<ProfiledProgram>;

  constructor(make: (request: StageRequest) => Stage<ProfiledProgram>) {
    this.#make = make;
  }

  find(key: string): Stage<ProfiledProgram> | undefined {
    return this.#known.get(key);
  }

  make(key: string, _place: string, request: StageRequest): Stage<ProfiledProgram> {
    const stage = this.#make(request);
    this.#known.set(key, stage);
    return stage;
  }
}

/** Operators by the names that nodes have in a run. */
function operatorNames(graph: Graph, path: string, names: Map<string, string>): Map<string, string> {
  for (const node of graph.nodes) {
    names.set(path + node.name, qualified(node));
    for (const [branch, value] of Object.entries(node.attributes))
      if (typeof value === 'object' && 'nodes' in value) operatorNames(value, subgraphPath(path, node, branch), names);
  }
  return names;
}

function qualified({ domain, operator }: GraphNode): string {
  return domain === '' ? operator : `${domain}:${operator}`;
}

function workOf(node: Node, words: Uint32Array, begin: number, end: number): Work {
  const operation = operationName(node);
  return {
    operation,
    algorithm: algorithmOf(operation, opcodesBetween(words, begin, end)),
    operations: 2 * multiplyAddsOf(node),
    bytes: bytesMoved(node),
  };
}

export interface ProfileOptions {
  readonly name: string;
  /** Where weights beside the model file are looked for. */
  readonly folder?: string;
  /** Runs at most, and for how long at most more are begun, in milliseconds; there are at least two. */
  readonly passes: number;
  readonly budgetMs: number;
  /** The fastest that proves right on this machine when absent. */
  readonly build?: KernelBuild;
  /** Is told how long each instruction took, of all runs, as they are executed. Watching costs them some 0.1 µs each. */
  readonly instruction?: InstructionObserver;
}

/** An instruction of a program's words, and the node that it was made for. */
export type InstructionObserver = (words: Uint32Array, word: number, ms: number, node: Node) => void;

/** A model each of whose runs is profiled; `profile` is that of the first run. */
export class ProfiledModel implements Model {
  readonly engine = 'llmasos';
  readonly name: string;
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  profile: Profile | undefined;
  readonly #options: ProfileOptions;
  readonly #memory = new EngineMemory(MEMORY_BYTES);
  readonly #kernels: Kernels;
  readonly #control: number;
  readonly #prepared: Prepared;
  readonly #weights: MemoryWeights;
  readonly #operators: ReadonlyMap<string, string>;
  readonly #stages: Stages<ProfiledProgram>;
  readonly #recorder = new Recorder();
  #arenaBytes = 0;

  /** Throws an UnsupportedError when our kernels lack what the model needs, an Error when the file is no valid model. */
  constructor(source: Uint8Array | ByteSource, options: ProfileOptions) {
    const { name, folder, build } = options;
    const readExternal = folder === undefined ? undefined : externalReader(folder);
    const file = readModel(source, { readExternal, hasOperator });
    prepareV8();
    this.#kernels = loadKernels(this.#memory.memory, { build: build ?? chooseBuild().build });
    this.#memory.reserve(this.#kernels.heapBase);
    this.#control = this.#memory.allocate(CONTROL_BYTES, 'the control block');
    this.#options = options;
    this.name = name;
    this.inputs = file.graph.inputs;
    this.outputs = file.graph.outputs;
    this.#prepared = prepare(file);
    this.#weights = new MemoryWeights(this.#memory, name, source.byteLength);
    this.#operators = operatorNames(this.#prepared.model.graph, '', new Map());
    this.#stages = new Stages(new ProfiledStages((request) => this.#compile(request)));
  }

  /** Runs the model several times over, without pause; the answer is the last one's. */
  async run(inputs: Readonly<Record<string, EngineValue>>): Promise<RunResult> {
    checkInputs(this.name, this.inputs, inputs);
    const { passes, budgetMs, name } = this.#options;
    const { build } = this.#kernels;
    const peakGflops = this.profile?.peakGflops ?? measurePeak(this.#memory, this.#kernels, this.#control);
    const first = this.#pass(inputs);
    let last = this.#pass(inputs);
    let best = last.pass;
    let leastMs = ownTimes(best.spans);
    let count = 2;
    for (const started = performance.now(); count < passes && performance.now() - started < budgetMs; count++) {
      last = this.#pass(inputs);
      const { spans, ms } = last.pass;
      // Numbers drawn by chance may lead another way.
      const isAlike = spans.length === best.spans.length;
      if (isAlike) leastMs = ownTimes(spans).map((own, index) => Math.min(own, leastMs[index] as number));
      else if (ms < best.ms) leastMs = ownTimes(spans);
      if (ms < best.ms) best = last.pass;
    }
    const memory = { arenaBytes: this.#arenaBytes, weightBytes: this.#weights.byteLength };
    this.profile ??= { model: name, build, peakGflops, first: first.pass, best, leastMs, passes: count, ...memory };
    return { outputs: last.outputs, queueMs: 0, runMs: best.ms };
  }

  /** There is nothing to give back before the model itself is garbage. */
  async close(): Promise<void> {}

  #compile(request: StageRequest): Stage<ProfiledProgram> {
    const { name } = this.#options;
    const emitted: { word: number; node: Node }[] = [];
    this.#recorder.begin({ kind: 'compile', name: request.graph.nodes[request.start]?.name ?? '' });
    try {
      const made = compileStage(this.#prepared, request, this.#weights, this.#kernels.traits, undefined, (word, node) =>
        emitted.push({ word, node }),
      );
      if (made.kind !== 'program') return made;
      if (!made.program) return { ...made, program: undefined };
      const opcodes = made.program.words;
      const loaded = new LoadedProgram(made.program, this.#weights, this.#memory, name);
      this.#arenaBytes = Math.max(this.#arenaBytes, made.program.arenaBytes);
      const nodes = emitted.flatMap(({ word, node }, index) => {
        const end = emitted[index + 1]?.word ?? opcodes.length - 1;
        return end > word ? [{ word, node, work: workOf(node, opcodes, word, end) }] : [];
      });
      return { ...made, program: { loaded, opcodes, nodes } };
    } finally {
      this.#recorder.end();
    }
  }

  #pass(inputs: Readonly<Record<string, EngineValue>>) {
    const recorder = this.#recorder;
    const observer: RunObserver = {
      begin: (kind, path, node) => recorder.begin({ kind, name: path + node.name, operator: qualified(node) }),
      end: () => recorder.end(),
    };
    recorder.restart();
    const steps = runModel(this.#prepared.model, this.#stages, inputs, observer);
    let answer: Readonly<Record<string, Tensor>> | undefined;
    for (;;) {
      const step = steps.next(answer);
      if (step.done) return { pass: recorder.finish(), outputs: step.value };
      answer = step.value.kind === 'run' ? this.#execute(step.value.program, step.value.inputs) : undefined;
    }
  }

  #execute(program: ProfiledProgram, inputs: Readonly<Record<string, Tensor>>): Record<string, Tensor> {
    const { loaded, nodes } = program;
    const recorder = this.#recorder;
    recorder.begin({ kind: 'program', name: `program of ${nodes.length} operations` });
    const arena = loaded.openArena(this.name);
    try {
      loaded.writeInputs(arena, inputs);
      setBases(this.#memory, this.#control, [arena, this.#weights.offset, loaded.tables]);
      for (const [index, { word, node, work }] of nodes.entries()) {
        const end = nodes[index + 1]?.word ?? program.opcodes.length - 1;
        recorder.begin({ kind: 'node', name: node.origin, operator: this.#operators.get(node.origin) ?? '', work });
        this.#step(program, node, word, end);
        recorder.end();
      }
      return loaded.readOutputs(arena);
    } finally {
      loaded.closeArena(arena);
      recorder.end();
    }
  }

  /** Equal kernels in a row, which are parts of one, become one span. */
  #step({ loaded, opcodes }: ProfiledProgram, node: Node, begin: number, end: number): void {
    const { instruction } = this.#options;
    let current: number | undefined;
    for (let word = begin; word < end; ) {
      const opcode = opcodeAt(opcodes, word);
      if (opcode !== current) {
        if (current !== undefined) this.#recorder.end();
        this.#recorder.begin({ kind: 'kernel', name: kernelName(opcode) });
        current = opcode;
      }
      const startedMs = instruction ? performance.now() : 0;
      const next = this.#kernels.execute(loaded.words, word, this.#control, this.#control + FLAG);
      instruction?.(opcodes, word, performance.now() - startedMs, node);
      if (next < -1)
        throw new Error(`model "${this.name}", node "${loaded.nodeAt(word)}": the kernels ended with ${next}`);
      word = next === -1 ? end : next;
    }
    if (current !== undefined) this.#recorder.end();
  }
}

/** Also sets the flag that suspends a run after each instruction. */
function setBases(memory: EngineMemory, control: number, bases: readonly number[]): void {
  new Uint32Array(memory.memory.buffer, control, 4).set([...bases, 1]);
}

/** The best of some matrix products, in thousands of millions of operations a second, within ten milliseconds. */
function measurePeak(memory: EngineMemory, kernels: Kernels, control: number): number {
  const [m, n, k] = [192, 512, 512];
  const assembler = new Assembler(kernels.traits);
  const packed = assembler.packGemm(new Float32Array(k * n).fill(0.5), k, n);
  const [packedAt, cAt] = [m * k * 4, m * k * 4 + packed.byteLength];
  const arena = memory.allocate(cAt + m * n * 4, 'the measurement of the peak');
  // Memory that was never written is slower to read: all of it would be one page of zeros.
  memory.bytes(arena, cAt + m * n * 4).fill(0);
  memory.bytes(arena + packedAt, packed.byteLength).set(new Uint8Array(packed.buffer));
  const at = (offset: number): number => address(SPACE_ARENA, offset);
  assembler.gemm({ a: at(0), lda: k, packedB: at(packedAt), c: at(cAt), ldc: n, m, n, k });
  const { words } = assembler.finish();
  const program = memory.allocate(words.byteLength, 'the measurement of the peak');
  memory.bytes(program, words.byteLength).set(new Uint8Array(words.buffer));
  new Uint32Array(memory.memory.buffer, control, 4).set([arena, arena, arena, 0]);
  let best = Infinity;
  const begun = performance.now();
  for (let runs = 0; runs < PEAK_RUNS_MIN || performance.now() - begun < PEAK_MS; runs++) {
    const started = performance.now();
    kernels.execute(program, 0, control, control + FLAG);
    best = Math.min(best, performance.now() - started);
  }
  memory.free(program);
  memory.free(arena);
  return (2 * m * n * k) / best / 1e6;
}
