/** Trees as attributes describe them → the flat tables that the kernel walks. Source: ONNX ai.onnx.ml TreeEnsemble* 1 to 5. */
import * as op from '../../../assembly/opcodes.ts';
import { numbersOf } from '../../compile/evaluate.ts';
import type { Value } from '../../compile/graph.ts';
import type { TreesName } from '../../compile/rare-operations.ts';
import type { OperatorContext } from '../context.ts';

/** A chain longer than this would keep one instruction busy for too long. */
const DEPTH_MAX = 4096;

export interface Branch {
  /** One of TREE_LESS_OR_EQUAL … TREE_NOT_EQUAL. */
  readonly mode: number;
  readonly feature: number;
  readonly threshold: number;
  readonly missingPasses: boolean;
  /** Places in the list of nodes. */
  yes: number;
  no: number;
}

export interface Leaf {
  readonly weights: (readonly [target: number, weight: number])[];
}

export interface Ensemble {
  readonly nodes: readonly (Branch | Leaf)[];
  readonly roots: readonly number[];
}

const modes: Readonly<Record<string, number>> = {
  BRANCH_LEQ: op.TREE_LESS_OR_EQUAL,
  BRANCH_LT: op.TREE_LESS,
  BRANCH_GTE: op.TREE_GREATER_OR_EQUAL,
  BRANCH_GT: op.TREE_GREATER,
  BRANCH_EQ: op.TREE_EQUAL,
  BRANCH_NEQ: op.TREE_NOT_EQUAL,
};

/** A list of floats, or the tensor of float64 that newer versions have instead. */
export function numbersAt(node: OperatorContext, name: string): number[] {
  const tensor = node.attributeTensor(`${name}_as_tensor`);
  return tensor ? numbersOf(tensor) : (node.floats(name) ?? []);
}

function list(node: OperatorContext, name: string, length: number): number[] {
  const values = node.ints(name) ?? [];
  if (values.length !== length)
    throw new Error(`attribute "${name}": expected ${length} numbers, got ${values.length}`);
  return values;
}

/** Versions 1 to 3: nodes are named by tree and number. `prefix` is `class` or `target`. */
export function readNamedTrees(node: OperatorContext, prefix: 'class' | 'target'): Ensemble {
  const kinds = node.texts('nodes_modes') ?? [];
  const count = kinds.length;
  const ints = (name: string): number[] => list(node, `nodes_${name}`, count);
  const [treeIds, nodeIds, features] = [ints('treeids'), ints('nodeids'), ints('featureids')];
  const [yes, no] = [ints('truenodeids'), ints('falsenodeids')];
  const thresholds = numbersAt(node, 'nodes_values');
  if (thresholds.length !== count) throw new Error(`attribute "nodes_values": expected ${count} numbers`);
  const missing = node.ints('nodes_missing_value_tracks_true') ?? [];
  const places = new Map(kinds.map((_, i) => [`${treeIds[i]} ${nodeIds[i]}`, i]));
  if (places.size !== count) throw new Error('expected every node once, got two of one tree and number');
  const place = (tree: number | undefined, number: number | undefined): number => {
    const at = places.get(`${tree} ${number}`);
    if (at === undefined) throw new Error(`expected a node ${number} in tree ${tree}, found none`);
    return at;
  };
  const children = new Set<number>();
  const nodes = kinds.map((kind, i): Branch | Leaf => {
    if (kind === 'LEAF') return { weights: [] };
    const mode = Object.hasOwn(modes, kind) ? modes[kind] : undefined;
    if (mode === undefined) throw new Error(`attribute "nodes_modes": ${JSON.stringify(kind)} is no comparison`);
    const [a, b] = [place(treeIds[i], yes[i]), place(treeIds[i], no[i])];
    children.add(a).add(b);
    const [feature, threshold] = [features[i] as number, thresholds[i] as number];
    return { mode, feature, threshold, missingPasses: missing[i] === 1, yes: a, no: b };
  });
  const weights = numbersAt(node, `${prefix}_weights`);
  const of = (name: string): number[] => list(node, `${prefix}_${name}`, weights.length);
  const [trees, numbers, targets] = [of('treeids'), of('nodeids'), of('ids')];
  weights.forEach((weight, i) => {
    const leaf = nodes[place(trees[i], numbers[i])] as Branch | Leaf;
    if ('weights' in leaf) leaf.weights.push([targets[i] as number, weight]);
  });
  return { nodes, roots: [...nodes.keys()].filter((i) => !children.has(i)) };
}

/** In the order of the enumeration of version 5; the last, 6, is membership in a set. */
const modeList = [
  op.TREE_LESS_OR_EQUAL,
  op.TREE_LESS,
  op.TREE_GREATER_OR_EQUAL,
  op.TREE_GREATER,
  op.TREE_EQUAL,
  op.TREE_NOT_EQUAL,
];
const MEMBER = 6;

/** NaN stands between the sets. */
function readSets(node: OperatorContext): number[][] {
  const tensor = node.attributeTensor('membership_values');
  const sets: number[][] = [[]];
  for (const value of tensor ? numbersOf(tensor) : []) {
    if (Number.isNaN(value)) sets.push([]);
    else sets.at(-1)?.push(value);
  }
  return sets;
}

/** Version 5: nodes and leaves in lists of their own. */
export function readListedTrees(node: OperatorContext): Ensemble {
  const tensor = (name: string): number[] => {
    const value = node.attributeTensor(name);
    if (!value) throw new Error(`attribute "${name}": expected a tensor, found none`);
    return numbersOf(value);
  };
  const kinds = tensor('nodes_modes');
  const [splits, weights] = [tensor('nodes_splits'), tensor('leaf_weights')];
  const ints = (name: string): number[] => list(node, `nodes_${name}`, kinds.length);
  const features = ints('featureids');
  const [yes, no] = [ints('truenodeids'), ints('falsenodeids')];
  const [yesIsLeaf, noIsLeaf] = [ints('trueleafs'), ints('falseleafs')];
  const targets = list(node, 'leaf_targetids', weights.length);
  const missing = node.ints('nodes_missing_value_tracks_true') ?? [];
  const sets = readSets(node);
  const nodes: (Branch | Leaf)[] = [];
  const child = (index: number, isLeaf: number): number => index + (isLeaf ? kinds.length : 0);
  const chains: Branch[] = [];
  kinds.forEach((kind, i) => {
    const [a, b] = [child(yes[i] as number, yesIsLeaf[i] as number), child(no[i] as number, noIsLeaf[i] as number)];
    const common = { feature: features[i] as number, missingPasses: missing[i] === 1, yes: a, no: b };
    const mode = modeList[kind];
    if (mode !== undefined) nodes.push({ ...common, mode, threshold: splits[i] as number });
    else if (kind === MEMBER) {
      // A set is a chain of questions for each of its members.
      const [first, ...others] = sets.shift() ?? [];
      if (first === undefined) throw new Error('attribute "membership_values": expected a set for each such node');
      const chain = [first, ...others].map((threshold) => ({ ...common, mode: op.TREE_EQUAL, threshold }));
      nodes.push(chain[0] as Branch);
      chain.slice(0, -1).forEach((each, at) => {
        each.no = kinds.length + weights.length + chains.length + at;
      });
      chains.push(...chain.slice(1));
    } else throw new Error(`attribute "nodes_modes": expected 0 to ${MEMBER}, got ${kind}`);
  });
  const leaves = weights.map((weight, i): Leaf => ({ weights: [[targets[i] as number, weight]] }));
  return { nodes: [...nodes, ...leaves, ...chains], roots: node.ints('tree_roots') ?? [] };
}

/** The most nodes on a way from a root to a leaf, with the leaf's weights; refuses trees that bite their own tail. */
function depthOf({ nodes, roots }: Ensemble): number {
  const depths = new Array<number>(nodes.length).fill(-1);
  const inside = new Set<number>();
  for (const root of roots) {
    const stack = [root];
    while (stack.length > 0) {
      const index = stack.at(-1) as number;
      const node = nodes[index];
      if (!node) throw new Error(`expected a node below ${nodes.length}, got ${index}`);
      if ('weights' in node) depths[index] = node.weights.length + 1;
      else {
        const waiting = [node.yes, node.no].filter((next) => (depths[next] ?? -1) < 0);
        if (waiting.length > 0) {
          inside.add(index);
          if (waiting.some((next) => inside.has(next)))
            throw new Error('expected trees, got nodes that lead back to themselves');
          stack.push(...waiting);
          continue;
        }
        depths[index] = Math.max(depths[node.yes] as number, depths[node.no] as number) + 1;
        inside.delete(index);
      }
      stack.pop();
    }
  }
  return roots.reduce((most, root) => Math.max(most, depths[root] as number), 0);
}

/** [rows, outputs] of the type of x (float32 or float64); NaN where no tree had a weight for an output. */
export function walk(node: OperatorContext, x: Value, ensemble: Ensemble, outputs: number, name: TreesName): Value {
  const { builder } = node;
  const { nodes, roots } = ensemble;
  const depth = depthOf(ensemble);
  if (roots.length === 0) throw new Error('expected at least one tree, found none');
  if (depth > DEPTH_MAX) throw node.unsupported(`a tree of depth ${depth}`);
  if (!(outputs >= 1 && outputs <= 2 ** 16)) throw node.unsupported(`an ensemble of ${outputs} targets or classes`);
  const features = x.dims[1] as number;
  const table = new Int32Array(nodes.length * 4);
  const thresholds: number[] = [];
  const [targets, weights]: [number[], number[]] = [[], []];
  nodes.forEach((each, i) => {
    if ('weights' in each) {
      table.set([op.TREE_LEAF, 0, weights.length, weights.length + each.weights.length], 4 * i);
      for (const [target, weight] of each.weights) {
        if (!(target >= 0 && target < outputs)) throw new Error(`expected targets below ${outputs}, got ${target}`);
        if (Number.isNaN(weight)) throw new Error('expected weights that are numbers, got NaN');
        targets.push(target);
        weights.push(weight);
      }
      thresholds.push(0);
      return;
    }
    if (!(each.feature >= 0 && each.feature < features))
      throw new Error(`expected a feature below ${features}, the width of the input, got ${each.feature}`);
    table.set([each.mode | (each.missingPasses ? op.TREE_MISSING_PASSES : 0), each.feature, each.yes, each.no], 4 * i);
    thresholds.push(each.threshold);
  });
  const wide = x.type === 'float64';
  const real = (values: readonly number[], part: string): Value => {
    const data = wide ? Float64Array.from(values) : Float32Array.from(values);
    return builder.constant({ type: x.type, dims: [values.length], data }, keyOf(node, `${part} ${x.type}`));
  };
  const whole = (data: Int32Array, part: string): Value =>
    builder.constant({ type: 'int32', dims: [data.length], data }, keyOf(node, part));
  return builder.add({ kind: 'trees', name, outputs, depth }, [
    x,
    whole(table, 'nodes'),
    real(thresholds, 'thresholds'),
    whole(Int32Array.from(roots), 'roots'),
    whole(Int32Array.from(targets), 'targets'),
    real(weights, 'weights'),
  ]);
}

/** The tables follow from the node's attributes alone, so all programs of a model share them. */
function keyOf(node: OperatorContext, part: string): string {
  return `trees ${node.builder.origin} ${part}`;
}
