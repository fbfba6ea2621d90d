/**
 * Runs a graph stage by stage: programs on the kernels, and between them what only JavaScript can do. It does not run
 * programs itself but asks whoever drives it, which may queue them among the programs of other models.
 */
import { SUBGRAPH_DEPTH_MAX } from '../compile/limits.ts';
import { UnsupportedError } from '../compile/program.ts';
import { NodeError, subgraphPath } from '../compile/trace.ts';
import type { Graph, GraphNode, OnnxModel } from '../onnx/graph.ts';
import { placeOf } from '../ops/attributes.ts';
import { HostContext } from '../ops/host/host-context.ts';
import { findHostOperator } from '../ops/host/index.ts';
import { controlFlow } from './control-flow.ts';
import { HeldBytes } from './held-bytes.ts';
import { type Live, lookUp, type Scope, type Stages } from './stages.ts';
import type { Steps } from './steps.ts';
import type { Tensor } from './tensor.ts';
import { type EngineValue, isHostValue } from './value.ts';

/** Is told what a run does in JavaScript, between programs. Graphs inside a node are run between its begin and its end. For profiles. */
export interface RunObserver {
  begin(kind: 'host' | 'control', path: string, node: GraphNode): void;
  end(): void;
}

class GraphRunner<Loaded> {
  readonly #stages: Stages<Loaded>;
  readonly #observer: RunObserver | undefined;
  readonly #opsets: OnnxModel['opsets'];
  readonly #held = new HeldBytes();

  constructor(stages: Stages<Loaded>, opsets: OnnxModel['opsets'], observer: RunObserver | undefined) {
    this.#stages = stages;
    this.#observer = observer;
    this.#opsets = opsets;
  }

  runMain(graph: Graph, inputs: readonly EngineValue[]): Steps<Loaded, Live[]> {
    return this.#run(this.#open({ graph, path: '', depth: 0, values: new Map() }, inputs));
  }

  #open(scope: Scope, inputs: readonly EngineValue[]): Scope {
    scope.graph.inputs.forEach(({ name }, index) => {
      this.#define(scope, name, inputs[index] as EngineValue);
    });
    return scope;
  }

  /** The outputs of the scope's graph, in order. */
  *#run(scope: Scope): Steps<Loaded, Live[]> {
    const { graph } = scope;
    let start = 0;
    do {
      const stage = this.#stages.next(scope, start);
      if (stage.kind === 'program') {
        for (const [name, constant] of stage.constants)
          scope.values.set(name, { value: constant.constant?.tensor as Tensor, constant });
        for (const [name, input] of stage.aliases) this.#define(scope, name, lookUp(scope, input).value);
        if (stage.program !== undefined) yield* this.#runProgram(stage.program, scope, start);
      } else {
        const node = graph.nodes[start] as GraphNode;
        this.#observer?.begin(stage.kind, scope.path, node);
        try {
          if (stage.kind === 'host') this.#runHost(node, scope);
          else yield* this.#runControl(node, scope);
        } catch (error) {
          throw named(error, node);
        }
        this.#observer?.end();
      }
      start = stage.end;
      this.#dropUnneeded(scope, start);
    } while (start < graph.nodes.length);
    const outputs = graph.outputs.map(({ name }) => lookUp(scope, name));
    for (const { value, constant } of scope.values.values()) if (!constant) this.#held.release(value);
    return outputs;
  }

  *#runProgram(program: Loaded, scope: Scope, start: number): Steps<Loaded, void> {
    const inputs: Record<string, Tensor> = {};
    for (const name of this.#stages.neededAt(scope, start)) inputs[name] = lookUp(scope, name).value as Tensor;
    const outputs = yield { kind: 'run', program, inputs };
    for (const [name, tensor] of Object.entries(outputs ?? {})) this.#define(scope, name, tensor);
  }

  #runHost(node: GraphNode, scope: Scope): void {
    const build = findHostOperator(node, this.#opsets);
    if (!build) throw new Error('assertion: a stage of this kind has a function');
    const results = build(new HostContext(node, this.#opsets[node.domain] ?? 0, this.#inputsOf(node, scope)));
    this.#defineAll(scope, node, Array.isArray(results) ? results : [results as EngineValue]);
  }

  *#runControl(node: GraphNode, scope: Scope): Steps<Loaded, void> {
    const run = controlFlow[node.operator];
    if (!run) throw new Error('assertion: a stage of this kind has a function');
    const context = new HostContext(node, this.#opsets[node.domain] ?? 0, this.#inputsOf(node, scope));
    const inline = (graph: Graph, branch: string, inputs: readonly EngineValue[]): Steps<unknown, EngineValue[]> =>
      this.#runSubgraph(graph, branch, inputs, node, scope);
    const results = yield* run({ node: context, held: this.#held, inline }) as Steps<Loaded, EngineValue[]>;
    this.#defineAll(scope, node, results);
  }

  *#runSubgraph(
    graph: Graph,
    branch: string,
    inputs: readonly EngineValue[],
    node: GraphNode,
    outer: Scope,
  ): Steps<Loaded, EngineValue[]> {
    if (outer.depth === SUBGRAPH_DEPTH_MAX)
      throw new Error(`expected at most ${SUBGRAPH_DEPTH_MAX} graphs inside each other`);
    if (inputs.length !== graph.inputs.length)
      throw new Error(`${branch}: expected a graph of ${inputs.length} inputs, got ${graph.inputs.length}`);
    const path = subgraphPath(outer.path, node, branch);
    const scope = this.#open({ graph, path, depth: outer.depth + 1, values: new Map(), outer }, inputs);
    yield { kind: 'pause' };
    const outputs = yield* this.#run(scope);
    return outputs.map(({ value }) => value);
  }

  #inputsOf(node: GraphNode, scope: Scope): (EngineValue | undefined)[] {
    return node.inputs.map((name) => (name === '' ? undefined : lookUp(scope, name).value));
  }

  #defineAll(scope: Scope, node: GraphNode, values: readonly (EngineValue | undefined)[]): void {
    node.outputs.forEach((name, index) => {
      const value = values[index];
      if (name === '') return;
      if (!value) throw new UnsupportedError(`${placeOf(node)}: output ${index} is not supported`);
      this.#define(scope, name, value);
    });
  }

  #define(scope: Scope, name: string, value: EngineValue): void {
    this.#held.take(value);
    scope.values.set(name, { value });
  }

  #dropUnneeded(scope: Scope, start: number): void {
    const needed = new Set(this.#stages.neededAt(scope, start));
    for (const [name, { value, constant }] of scope.values) {
      if (needed.has(name)) continue;
      if (!constant) this.#held.release(value);
      scope.values.delete(name);
    }
  }
}

/** An error of a node that says which. */
function named(error: unknown, node: GraphNode): unknown {
  const isPlain = error instanceof Error && error.constructor === Error;
  return isPlain ? new NodeError(`${placeOf(node)}: ${error.message}`, { cause: error }) : error;
}

/** Runs a model's graph. The outputs belong to the caller: none is an input or a constant of the model. */
export function* runModel<Loaded>(
  { graph, opsets }: OnnxModel,
  stages: Stages<Loaded>,
  inputs: Readonly<Record<string, EngineValue>>,
  observer?: RunObserver,
): Steps<Loaded, Record<string, EngineValue>> {
  const given = graph.inputs.map(({ name }) => inputs[name] as EngineValue);
  const outputs = yield* new GraphRunner(stages, opsets, observer).runMain(graph, given);
  return Object.fromEntries(
    graph.outputs.map(({ name }, index) => {
      const { value, constant } = outputs[index] as Live;
      return [name, constant || given.includes(value) ? copyOf(value) : value];
    }),
  );
}

function copyOf(value: EngineValue): EngineValue {
  return isHostValue(value) ? value : { ...value, data: value.data.slice() };
}
