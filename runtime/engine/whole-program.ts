/** A program that does all that its model does, as it can be kept on disk. */
import type { Stage, StageRequest } from '../compile/compile.ts';
import type { Graph, OnnxModel } from '../onnx/graph.ts';
import type { WholeProgram } from './kept-programs-io.ts';

/** Whether a program of a graph's nodes up to `end` gives all of its outputs. */
export function isWhole({ nodes, outputs }: Graph, end: number, given: readonly { readonly name: string }[]): boolean {
  const isSame = given.length === outputs.length && given.every(({ name }, index) => name === outputs[index]?.name);
  return isSame && end === nodes.length;
}

/** Undefined when the stage is a part of the model only, or depends on more than the shapes of the inputs. */
export function wholeProgramOf(
  { graph, externalFiles }: OnnxModel,
  stage: Stage,
  request: StageRequest,
  weights: Uint8Array,
): WholeProgram | undefined {
  if (stage.kind !== 'program' || !stage.program) return undefined;
  if (request.path !== '' || request.start > 0 || stage.end < graph.nodes.length) return undefined;
  // What lies in other files may change while the model's own stays the same.
  if (externalFiles.length > 0) return undefined;
  const { program } = stage;
  const given = new Set(program.outputs.map(({ name }) => name));
  if (!graph.outputs.every(({ name }) => given.has(name))) return undefined;
  const shapes: Record<string, readonly number[]> = {};
  for (const [name, known] of request.known) {
    if (known === 'host') return undefined;
    if ('constant' in known) continue;
    if (known.value) return undefined;
    shapes[name] = known.dims;
  }
  return { program, weights, inputs: graph.inputs, outputs: graph.outputs, shapes };
}
