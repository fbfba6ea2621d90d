/** Probabilities of classes from those of their pairs (T.-F. Wu, C.-J. Lin, R. Weng, JMLR 5, 2004, section 4: libsvm's method). */
import type { Value } from '../../compile/graph.ts';
import type { OperatorContext } from '../context.ts';

/** `won` [rows, pairs]: how likely the first class of each pair is when it is one of the two → r [rows, classes, classes]. */
function tableOf(node: OperatorContext, won: Value, classes: number): Value {
  const { builder } = node;
  const [rows = 0, pairs = 0] = won.dims;
  const zero = builder.expand(builder.scalar(0), [rows, 1]);
  const all = builder.concat([won, builder.scale(won, -1, 1), zero], 1);
  const places = new Array<number>(classes * classes).fill(2 * pairs);
  let pair = 0;
  for (let i = 0; i < classes; i++)
    for (let j = i + 1; j < classes; j++) {
      places[i * classes + j] = pair;
      places[j * classes + i] = pairs + pair++;
    }
  const table = builder.gather(all, builder.literal('int64', [places.length], places), 1);
  return builder.reshape(table, [rows, classes, classes]);
}

/**
 * The p that sum up to 1 with the least sum of (r_ji p_i - r_ij p_j)² over the pairs, as [rows, classes]. With Q of the
 * paper's (22), they are in proportion to z of (Q + eeᵀ) z = e, whose matrix is positive definite: it is eliminated without
 * pivots. libsvm and onnxruntime iterate towards the same p and stop up to some thousandths away from it.
 */
export function coupled(node: OperatorContext, won: Value, classes: number): Value {
  const { builder } = node;
  const [rows = 0] = won.dims;
  const r = tableOf(node, won, classes);
  const identity = Array.from({ length: classes ** 2 }, (_, i) => (i % (classes + 1) === 0 ? 1 : 0));
  const diagonal = builder.binary(
    'mul',
    builder.reduce('sumSquare', r, [1]),
    builder.literal('float32', [classes, classes], identity),
  );
  const products = builder.binary('mul', r, builder.transpose(r, [0, 2, 1]));
  const matrix = builder.scale(builder.binary('sub', diagonal, products), 1, 1);
  let system = builder.concat([matrix, builder.expand(builder.scalar(1), [rows, classes, 1])], 2);
  for (let step = 0; step < classes; step++) {
    const row = builder.sliceAxis(system, 1, step, step + 1);
    const scaled = builder.binary('div', row, builder.sliceAxis(row, 2, step, step + 1));
    // Less one at the step's own row, which becomes `scaled` itself.
    const own = builder.literal('float32', [classes, 1], identity.slice(step * classes, (step + 1) * classes));
    const factors = builder.binary('sub', builder.sliceAxis(system, 2, step, step + 1), own);
    system = builder.binary('sub', system, builder.binary('mul', factors, scaled));
  }
  const z = builder.reshape(builder.sliceAxis(system, 2, classes, classes + 1), [rows, classes]);
  return builder.binary('div', z, builder.reduce('sum', z, [1]));
}
