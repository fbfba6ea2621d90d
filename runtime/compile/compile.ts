/** ONNX model → program. The steps: trace (runtime/ops composes kernel operations), passes, memory plan, instructions. */

import { allGraphs } from '../onnx/describe.ts';
import type { OnnxModel } from '../onnx/graph.ts';
import { findOperator } from '../ops/index.ts';
import { ConstantKeys } from './builder.ts';
import { emitProgram } from './emit.ts';
import { passes } from './passes/index.ts';
import type { Pass } from './passes/rewrite.ts';
import type { Program, Weights } from './program.ts';
import { type InputShape, NeedsValueError, traceModel } from './trace.ts';

export { type InputShape, NeedsValueError };

/** A model whose operators are all known, ready to be compiled for concrete input shapes. */
export interface Prepared {
  readonly model: OnnxModel;
  readonly keys: ConstantKeys;
}

/** Throws UnsupportedError for the first node whose operator, domain or version is not in the table. */
export function prepare(model: OnnxModel): Prepared {
  for (const graph of allGraphs(model.graph)) for (const node of graph.nodes) findOperator(node, model.opsets);
  return { model, keys: new ConstantKeys() };
}

/**
 * Compiles for concrete input shapes. Weights that other programs of the model have placed already are shared.
 * Throws NeedsValueError when shapes or branches depend on the contents of small integer inputs: compile again with
 * their `value`; the program then holds for that value alone and does not list the input. Throws UnsupportedError for
 * what our kernels cannot do, and an Error that names the node when shapes do not fit. Tests compare with a program made
 * without any pass, which is the plain meaning of the model.
 */
export function compile(
  prepared: Prepared,
  inputs: Readonly<Record<string, InputShape>>,
  weights: Weights,
  panel: 8 | 16,
  rewriting: readonly Pass[] = passes,
): Program {
  const { model, keys } = prepared;
  const traced = traceModel(model, inputs, keys, findOperator);
  const graph = rewriting.reduce((result, pass) => pass(result, keys), traced);
  return emitProgram(graph, weights, panel);
}
