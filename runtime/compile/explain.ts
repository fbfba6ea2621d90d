/** What the compiler makes of a model, and why: for `llmasos models explain`. */
import { allGraphs, describeModel } from '../onnx/describe.ts';
import type { OnnxModel } from '../onnx/graph.ts';
import { inTwoSteps } from '../ops/two-steps.ts';
import { ConstantKeys } from './builder.ts';
import { checkKnown, type InputShape, NeedsValueError, traceStart } from './compile.ts';
import { emitProgram } from './emit.ts';
import type { KernelGraph, Value } from './graph.ts';
import { passes, passTitles } from './passes/index.ts';
import { bytesOf } from './plan.ts';
import { UnsupportedError, type Weights } from './program.ts';
import { multiplyAddsOf, operationName } from './work.ts';

/** How often each thing occurs, the most frequent first. */
export type Counts = Readonly<Record<string, number>>;

export interface PassEffect {
  readonly title: string;
  /** Operations of the graph before and after. */
  readonly before: number;
  readonly after: number;
  /** Operations that became more or fewer, by how many. */
  readonly changes: Counts;
}

export interface Explanation {
  /** As the file has them, subgraphs included. */
  readonly operators: Counts;
  /** Elements of all weights. */
  readonly parameters: number;
  /** Why onnxruntime runs the model instead of our kernels, one sentence a reason; empty when our kernels do. */
  readonly fallback: readonly string[];
  /** Absent where the model falls back. */
  readonly program?: {
    /** Kernel operations as the operators are composed of them, and those that remain after all passes. */
    readonly traced: Counts;
    readonly final: Counts;
    /** The passes that changed something, in the order in which they run. */
    readonly passes: readonly PassEffect[];
    /** Products that are summed, in convolutions, matrix products and attention, of one run. */
    readonly multiplyAdds: number;
    /** Bytes of a run's intermediate results at the fullest moment, and of the weights as the kernels want them. */
    readonly arenaBytes: number;
    readonly weightBytes: number;
    /** What the weights would take as they are in the file, and packed without Winograd's algorithm, as where memory is short. */
    readonly plainWeightBytes: number;
    readonly directWeightBytes: number;
    /** Instructions and tables. */
    readonly programBytes: number;
    /** Why all this is the first part of the model only; the rest is planned during the run. */
    readonly endsBefore?: string;
  };
}

/** Packing into weights that nobody keeps: only their size is wanted. */
class WeightsSize implements Weights {
  readonly #offsets = new Map<string, number>();
  byteLength = 0;

  place(key: string, make: () => ArrayBufferView): number {
    const known = this.#offsets.get(key);
    if (known !== undefined) return known;
    const offset = Math.ceil(this.byteLength / 64) * 64;
    this.byteLength = offset + make().byteLength;
    this.#offsets.set(key, offset);
    return offset;
  }
}

function count(names: Iterable<string>): Counts {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return sorted([...counts]);
}

function sorted(counts: readonly (readonly [string, number])[]): Counts {
  return Object.fromEntries(counts.toSorted(([, a], [, b]) => Math.abs(b) - Math.abs(a)));
}

const countOperations = (graph: KernelGraph): Counts => count(graph.nodes.map(operationName));

function changes(before: Counts, after: Counts): Counts {
  const names = new Set([...Object.keys(before), ...Object.keys(after)]);
  const differences = [...names].map((name) => [name, (after[name] ?? 0) - (before[name] ?? 0)] as const);
  return sorted(differences.filter(([, difference]) => difference !== 0));
}

/** Every operator that is not in the table, once. */
function missingOperators(model: OnnxModel): string[] {
  const reasons = new Set<string>();
  for (const graph of allGraphs(model.graph))
    for (const node of graph.nodes)
      try {
        checkKnown(node, model.opsets);
      } catch (error) {
        if (!(error instanceof UnsupportedError)) throw error;
        reasons.add(`${node.domain ? `${node.domain}:` : ''}${node.operator}: ${error.message}`);
      }
  return [...reasons];
}

function explainProgram(model: OnnxModel, inputs: Readonly<Record<string, InputShape>>): Explanation['program'] {
  const keys = new ConstantKeys();
  const { graph: traced, obstacle } = traceStart(model, inputs, keys);
  const effects: PassEffect[] = [];
  let graph = traced;
  for (const pass of passes) {
    const result = pass(graph, keys);
    const effect = changes(countOperations(graph), countOperations(result));
    if (Object.keys(effect).length > 0) {
      const title = passTitles.get(pass) ?? '';
      effects.push({ title, before: graph.nodes.length, after: result.nodes.length, changes: effect });
    }
    graph = result;
  }
  const [weights, direct] = [new WeightsSize(), new WeightsSize()];
  const program = emitProgram(graph, weights, { panel: 8 });
  emitProgram(graph, direct, { panel: 8, direct: true });
  const constants = new Set(graph.nodes.flatMap(({ inputs: values }) => values.filter((value) => value?.constant)));
  return {
    traced: countOperations(traced),
    final: countOperations(graph),
    passes: effects,
    multiplyAdds: graph.nodes.reduce((sum, node) => sum + multiplyAddsOf(node), 0),
    arenaBytes: program.arenaBytes,
    weightBytes: weights.byteLength,
    plainWeightBytes: [...constants].reduce((sum, value) => sum + bytesOf(value as Value), 0),
    directWeightBytes: direct.byteLength,
    programBytes: program.words.byteLength + program.tables.byteLength,
    endsBefore: obstacle?.message,
  };
}

/**
 * Compiles for these shapes and says what happened. Throws a NeedsValueError when shapes depend on the contents of inputs,
 * and an Error that names the node when shapes do not fit.
 */
export function explainModel(file: OnnxModel, inputs: Readonly<Record<string, InputShape>>): Explanation {
  const { operators, parameters } = describeModel(file);
  const model = inTwoSteps(file);
  const head = { operators: sorted(Object.entries(operators)), parameters };
  const missing = missingOperators(model);
  if (missing.length > 0) return { ...head, fallback: missing };
  try {
    return { ...head, fallback: [], program: explainProgram(model, inputs) };
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    return { ...head, fallback: [error.message] };
  }
}

export { NeedsValueError };
