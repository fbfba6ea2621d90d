// Ensembles of decision trees: every row walks down every tree and gathers the weights of the leaf that it reaches.
import * as op from '../opcodes.ts';
import { Trees, at } from '../operands.ts';

/** Where `value` goes: to `yes` (true) or `no`. A missing value (NaN) fails every comparison but "not equal". */
// @ts-ignore: decorator
@inline
function passes<T>(kind: i32, value: T, threshold: T): bool {
  const mode = kind & 7;
  let holds: bool;
  if (mode == op.TREE_LESS_OR_EQUAL) holds = value <= threshold;
  else if (mode == op.TREE_LESS) holds = value < threshold;
  else if (mode == op.TREE_GREATER_OR_EQUAL) holds = value >= threshold;
  else if (mode == op.TREE_GREATER) holds = value > threshold;
  else if (mode == op.TREE_EQUAL) holds = value == threshold;
  else holds = value != threshold;
  return holds || ((kind & op.TREE_MISSING_PASSES) != 0 && value != value);
}

/** NaN in y stands for a target that no leaf has spoken of yet. */
// @ts-ignore: decorator
@inline
function gather<T>(name: i32, y: usize, weight: T): void {
  const before = load<T>(y);
  if (before != before) store<T>(y, weight);
  else if (name == op.TREES_SUM) store<T>(y, <T>(before + weight));
  else if (name == op.TREES_MIN) store<T>(y, weight < before ? weight : before);
  else store<T>(y, weight > before ? weight : before);
}

function run<T>(o: Trees, name: i32): void {
  const nodes = at(o.nodes), thresholds = at(o.thresholds), roots = at(o.roots);
  const targets = at(o.targets), weights = at(o.weights);
  for (let row = o.begin; row < o.end; row++) {
    const x = at(o.x) + <usize>(row * o.features) * sizeof<T>();
    const y = at(o.y) + <usize>(row * o.outputs) * sizeof<T>();
    if (o.treeBegin == 0) for (let i = 0; i < o.outputs; i++) store<T>(y + <usize>i * sizeof<T>(), <T>NaN);
    for (let tree = o.treeBegin; tree < o.treeEnd; tree++) {
      let index = load<i32>(roots + (<usize>tree << 2));
      let node = nodes + (<usize>index << 4);
      let kind = load<i32>(node);
      while (kind != op.TREE_LEAF) {
        const value = load<T>(x + <usize>load<i32>(node, 4) * sizeof<T>());
        const threshold = load<T>(thresholds + <usize>index * sizeof<T>());
        index = passes<T>(kind, value, threshold) ? load<i32>(node, 8) : load<i32>(node, 12);
        node = nodes + (<usize>index << 4);
        kind = load<i32>(node);
      }
      const end = load<i32>(node, 12);
      for (let i = load<i32>(node, 8); i < end; i++) {
        const target = load<i32>(targets + (<usize>i << 2));
        gather<T>(name, y + <usize>target * sizeof<T>(), load<T>(weights + <usize>i * sizeof<T>()));
      }
    }
  }
}

/** The compiler has checked that features, children, targets and weights lie within their tables, and that every walk ends. */
export function trees(o: Trees): void {
  const name = o.kind & 0xff;
  if (o.kind >> 8 == op.FLOAT64) run<f64>(o, name);
  else run<f32>(o, name);
}
