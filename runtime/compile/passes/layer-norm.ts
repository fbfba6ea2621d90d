/** Layer normalisation that exporters write out: (x - mean) / sqrt(mean((x - mean)²) + epsilon) over the last axis. */
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import { madeBy, type Pass, rewrite } from './rewrite.ts';

function meanOverLast(builder: Builder, value: Value | undefined): Value | undefined {
  const made = madeBy(builder, value, 'reduce');
  const x = made?.inputs[0];
  const last = (x?.dims.length ?? 0) - 1;
  return made?.operation.name === 'mean' && made.operation.axes.join() === String(last) ? x : undefined;
}

function unaryOf(builder: Builder, value: Value | undefined, name: string) {
  const made = madeBy(builder, value, 'unary');
  return made?.operation.name === name
    ? { x: made.inputs[0], beta: made.operation.beta, alpha: made.operation.alpha }
    : undefined;
}

export const joinLayerNorm: Pass = (graph, keys) =>
  rewrite(graph, keys, ({ builder, node, inputs }) => {
    if (node.operation.kind !== 'binary' || node.operation.name !== 'div') return undefined;
    const [centred, deviation] = inputs as [Value, Value];
    const shifted = unaryOf(builder, unaryOf(builder, deviation, 'sqrt')?.x, 'scale');
    const square = unaryOf(builder, meanOverLast(builder, shifted?.x), 'square');
    const difference = madeBy(builder, centred, 'binary');
    if (shifted?.alpha !== 1 || square?.x !== centred || difference?.operation.name !== 'sub') return undefined;
    const [x, mean] = difference.inputs as [Value, Value];
    if (meanOverLast(builder, mean) !== x) return undefined;
    const size = x.dims.at(-1) as number;
    const vector = (value: number): Value => builder.literal('float32', [size], new Array<number>(size).fill(value));
    return builder.add({ kind: 'layerNorm', epsilon: shifted.beta ?? 0 }, [x, vector(1), vector(0)]);
  });
