/** ONNX graph → programs. The steps: trace (runtime/ops composes kernel operations), passes, memory plan, instructions. */

import { allGraphs } from '../onnx/describe.ts';
import type { GraphNode, OnnxModel } from '../onnx/graph.ts';
import { namesNeeded } from '../onnx/liveness.ts';
import { withPlacesForTextLabels } from '../onnx/text-labels.ts';
import { placeOf } from '../ops/attributes.ts';
import { findHostOperator } from '../ops/host/index.ts';
import { isControlFlow, isHostNode } from '../ops/host/node-kinds.ts';
import { findOperator, seekOperator } from '../ops/index.ts';
import { inTwoSteps } from '../ops/two-steps.ts';
import { followBatch } from './batch-axes.ts';
import { ConstantKeys } from './builder.ts';
import { type EmissionObserver, emitProgram } from './emit.ts';
import type { KernelGraph, Value } from './graph.ts';
import { passes } from './passes/index.ts';
import type { Pass } from './passes/rewrite.ts';
import { NotStaticError, type Program, UnsupportedError, type Weights } from './program.ts';
import {
  type InputShape,
  initializerValue,
  type Known,
  NeedsValueError,
  type StageRequest,
  type TracedStage,
  traceStage,
} from './trace.ts';
import type { KernelTraits } from './traits.ts';

export { type InputShape, type Known, NeedsValueError, type StageRequest };

/** A model whose operators are all known, ready to be compiled for concrete input shapes. */
export interface Prepared {
  readonly model: OnnxModel;
  readonly keys: ConstantKeys;
}

/**
 * Throws UnsupportedError for the first node whose operator, domain or version is in no table. `generation` counts how
 * often the model was prepared before.
 */
export function prepare(file: OnnxModel, generation = 0): Prepared {
  const model = inTwoSteps(file);
  const graph = withPlacesForTextLabels(model.graph);
  for (const each of allGraphs(graph)) for (const node of each.nodes) checkKnown(node, model.opsets);
  return { model: { ...model, graph }, keys: new ConstantKeys(generation) };
}

/** Throws UnsupportedError for a node that is in no table. */
export function checkKnown(node: GraphNode, opsets: OnnxModel['opsets']): void {
  if (!isControlFlow(node) && !findHostOperator(node, opsets)) findOperator(node, opsets);
}

/** What the walk over a graph does next: nodes up to `end`, together or one that is no matter of kernels. */
export type Stage<Loaded = Program> =
  | {
      readonly kind: 'program';
      readonly end: number;
      /** Absent when there is nothing to compute. */
      readonly program: Loaded | undefined;
      /** Results that are known already. */
      readonly constants: ReadonlyMap<string, Value>;
      /** Other names → names they stand for. */
      readonly aliases: ReadonlyMap<string, string>;
    }
  /** One node, by its function in runtime/ops/host. */
  | { readonly kind: 'host'; readonly end: number }
  /** One node with graphs inside, which are run in their turn. */
  | { readonly kind: 'control'; readonly end: number };

/** The kernels' build of a node, unless texts or the like go into it or come from it. */
function findForKernels(node: GraphNode, opsets: OnnxModel['opsets']): ReturnType<typeof findOperator> {
  const build = isHostNode(node) ? undefined : seekOperator(node, opsets);
  if (build) return build;
  if (isControlFlow(node) || findHostOperator(node, opsets))
    throw new NotStaticError(`${placeOf(node)} runs between programs`);
  return findOperator(node, opsets);
}

/** A model's graph from its first node on. */
export function startOf(model: OnnxModel, inputs: Readonly<Record<string, InputShape>>): StageRequest {
  const { graph } = model;
  const known = new Map<string, Known>(Object.entries(inputs));
  for (const [name, tensor] of graph.initializers) {
    const constant = initializerValue(tensor, '', name);
    known.set(name, constant === 'host' ? constant : { constant });
  }
  return { graph, start: 0, path: '', depth: 0, known, neededAt: (end) => namesNeeded(graph, end) };
}

/** What the first program of a model is made of, before all passes. */
export function traceStart(
  model: OnnxModel,
  inputs: Readonly<Record<string, InputShape>>,
  keys: ConstantKeys,
): TracedStage {
  return traceStage(startOf(model, inputs), model.opsets, keys, findForKernels);
}

/** The same with another number of runs in a batch. */
function forRuns(request: StageRequest, runs: number): StageRequest {
  const known = [...request.known].map(([name, each]): [string, Known] => {
    const axis = request.batch?.axes[name];
    if (axis === undefined || each === 'host' || 'constant' in each) return [name, each];
    return [name, { ...each, dims: each.dims.with(axis, runs) }];
  });
  return { ...request, known: new Map(known) };
}

/**
 * Compiles nodes from `request.start` on, as many as need no contents that only the run has. Weights that other programs
 * of the model have placed already are shared. Throws NeedsValueError when shapes or branches depend on the contents of
 * small inputs: compile again with their `value`; the program then holds for that value alone and does not list the
 * input. Throws UnsupportedError for what our kernels cannot do or a batch would mix, and an Error that names the node when shapes do not fit.
 * Tests compare with programs made without any pass, which are the plain meaning of the model.
 */
export function compileStage(
  prepared: Prepared,
  request: StageRequest,
  weights: Weights,
  traits: KernelTraits,
  rewriting: readonly Pass[] = passes,
  observe?: EmissionObserver,
): Stage {
  const { model, keys } = prepared;
  const { end, obstacle, graph, constants, aliases } = traceStage(request, model.opsets, keys, findForKernels);
  if (obstacle && end === request.start) {
    const node = request.graph.nodes[end] as GraphNode;
    if (isControlFlow(node)) return { kind: 'control', end: end + 1 };
    const takesHost = node.inputs.some((name) => request.known.get(name) === 'host');
    const isHost = takesHost || isHostNode(node) || !seekOperator(node, model.opsets);
    if (isHost && findHostOperator(node, model.opsets)) return { kind: 'host', end: end + 1 };
    throw new UnsupportedError(obstacle.message);
  }
  const empty = graph.outputs.length === 0;
  const traceOther = (runs: number): KernelGraph =>
    traceStage(forRuns(request, runs), model.opsets, keys, findForKernels).graph;
  const batch = request.batch && followBatch(graph, request.batch, traceOther);
  const optimised = rewriting.reduce((result, pass) => pass(result, keys), graph);
  return {
    kind: 'program',
    end,
    program: empty ? undefined : { ...emitProgram(optimised, weights, traits, observe), ...(batch && { batch }) },
    constants,
    aliases,
  };
}
