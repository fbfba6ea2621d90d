/** A picture that is padded with zeros and then convolved: the convolution pads by itself, and nothing is copied. */
import type { Builder } from '../builder.ts';
import type { Value } from '../graph.ts';
import type { Window2d } from '../instructions.ts';
import { madeBy, type Pass, rewrite, scalarOf, type Visit } from './rewrite.ts';

interface Padded {
  readonly x: Value;
  readonly window: Window2d;
}

/** What a window meets on a padded picture: the picture itself, with wider pads. */
function padded(builder: Builder, value: Value | undefined, filler: number, window: Window2d): Padded | undefined {
  const made = madeBy(builder, value, 'pad');
  if (made?.operation.mode !== 'constant' || made.operation.value !== filler) return undefined;
  const { begins, ends } = made.operation;
  // Pictures are [n, h, w, c].
  if ([begins[0], begins[3], ends[0], ends[3]].some((size) => size !== 0)) return undefined;
  const [top, left, bottom, right] = window.pads;
  const pads = [
    top + (begins[1] as number),
    left + (begins[2] as number),
    bottom + (ends[1] as number),
    right + (ends[2] as number),
  ] as const;
  return { x: made.inputs[0] as Value, window: { ...window, pads } };
}

function absorb({ builder, node, inputs }: Visit): Value | undefined {
  const { operation } = node;
  if (operation.kind === 'conv') {
    const found = padded(builder, inputs[0], 0, operation.window);
    return found && builder.add({ ...operation, window: found.window }, inputs.with(0, found.x));
  }
  if (operation.kind !== 'convInteger') return undefined;
  // Padding with the zero point is 0 once that is subtracted.
  const centred = madeBy(builder, inputs[0], 'center');
  const zero = scalarOf(centred?.inputs[1]);
  const found = zero !== undefined && padded(builder, centred?.inputs[0], zero, operation.window);
  if (!found) return undefined;
  const x = builder.add({ kind: 'center' }, [found.x, centred?.inputs[1]]);
  return builder.add({ ...operation, window: found.window }, inputs.with(0, x));
}

export const foldPadding: Pass = (graph, keys) => rewrite(graph, keys, absorb);
