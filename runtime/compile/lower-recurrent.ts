/** Recurrent layers of float64, which the kernel does not know: each time step becomes operations of its own. */
import type { Builder } from './builder.ts';
import type { Value } from './graph.ts';
import { TIME_STEPS_MAX } from './limits.ts';
import { UnsupportedError } from './program.ts';
import type { RecurrentName } from './recurrent.ts';

interface State {
  readonly h: Value;
  /** Of lstm. */
  readonly c: Value;
}

/** Columns of the gates from one to another. */
function gatesBetween(builder: Builder, sums: Value, from: number, to: number, hidden: number): Value {
  return builder.sliceAxis(sums, 1, from * hidden, to * hidden);
}

function lstmStep(builder: Builder, sums: Value, c: Value, peephole: Value | undefined): State {
  const hidden = c.dims[1] as number;
  const gate = (index: number, cell: Value): Value => {
    const part = gatesBetween(builder, sums, index, index + 1, hidden);
    if (!peephole) return builder.unary('sigmoid', part);
    const weights = builder.sliceAxis(peephole, 0, index * hidden, (index + 1) * hidden);
    return builder.unary('sigmoid', builder.binary('add', part, builder.binary('mul', weights, cell)));
  };
  const candidate = builder.unary('tanh', gatesBetween(builder, sums, 3, 4, hidden));
  const kept = builder.binary('mul', gate(2, c), c);
  const next = builder.binary('add', kept, builder.binary('mul', gate(0, c), candidate));
  return { h: builder.binary('mul', gate(1, next), builder.unary('tanh', next)), c: next };
}

/** `second`: weights of the new state, or (`afterReset`) the bias of the state's part. */
function gruStep(builder: Builder, x: Value, h: Value, r: Value, second: Value, afterReset: boolean): Value {
  const hidden = h.dims[1] as number;
  const product = builder.matMul(h, r, true);
  const ofState = afterReset ? builder.binary('add', product, second) : product;
  const part = (sums: Value, from: number, to: number): Value => gatesBetween(builder, sums, from, to, hidden);
  const gated = builder.unary('sigmoid', builder.binary('add', part(x, 0, 2), part(ofState, 0, 2)));
  const [update, reset] = [part(gated, 0, 1), part(gated, 1, 2)];
  const newPart = afterReset
    ? builder.binary('mul', reset, part(ofState, 2, 3))
    : builder.matMul(builder.binary('mul', reset, h), second, true);
  const candidate = builder.unary('tanh', builder.binary('add', part(x, 2, 3), newPart));
  return builder.binary('add', candidate, builder.binary('mul', update, builder.binary('sub', h, candidate)));
}

/** Operands and results are those of the operation `recurrent` (graph.ts). */
export function lowerRecurrent(
  builder: Builder,
  { name, reverse }: { readonly name: RecurrentName; readonly reverse: boolean },
  inputs: readonly (Value | undefined)[],
): readonly Value[] {
  const [gates, r, h0, second, peephole] = inputs as [Value, Value, Value, Value, Value?];
  const [time = 0, batch = 0, width = 0] = gates.dims;
  if (time > TIME_STEPS_MAX)
    throw new UnsupportedError(
      `node "${builder.origin}": a float64 sequence of ${time} steps is not supported, at most ${TIME_STEPS_MAX}`,
    );
  const all = new Array<Value>(time);
  let state: State = { h: h0, c: second };
  for (let i = 0; i < time; i++) {
    const t = reverse ? time - 1 - i : i;
    const x = builder.reshape(builder.sliceAxis(gates, 0, t, t + 1), [batch, width]);
    const { h, c } = state;
    if (name === 'gru' || name === 'gruResetAfter')
      state = { h: gruStep(builder, x, h, r, second, name === 'gruResetAfter'), c };
    else {
      const sums = builder.binary('add', builder.matMul(h, r, true), x);
      state = name === 'lstm' ? lstmStep(builder, sums, c, peephole) : { h: builder.unary('tanh', sums), c };
    }
    all[t] = state.h;
  }
  const hidden = h0.dims[1] as number;
  const y = builder.reshape(builder.concat(all, 0), [time, batch, hidden]);
  return name === 'lstm' ? [y, state.c] : [y];
}
