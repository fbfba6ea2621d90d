// One step of an LSTM (S. Hochreiter, J. Schmidhuber, 1997; ONNX LSTM's equations), behind the matrix product that gives the gates.
import { madd } from './simd.ts';
import { sigmoid, tanh } from './transcendental.ts';

// @ts-ignore: decorator
@inline
function read(wide: bool, p: usize): v128 {
  if (wide) return v128.load(p);
  return v128.load_splat<f32>(p);
}

/** Four hidden units, or one (`wide` false). Gates i, o, f, c are `gate` bytes apart; so are the peephole weights i, o, f. */
// @ts-ignore: decorator
@inline
function units(wide: bool, gates: usize, gate: usize, c0: usize, h: usize, c: usize, peephole: usize): void {
  const before = read(wide, c0);
  let input = read(wide, gates), output = read(wide, gates + gate), forget = read(wide, gates + gate * 2);
  if (peephole) {
    input = madd(read(wide, peephole), before, input);
    forget = madd(read(wide, peephole + gate * 2), before, forget);
  }
  const candidate = tanh(read(wide, gates + gate * 3));
  const after = madd(sigmoid(forget), before, f32x4.mul(sigmoid(input), candidate));
  if (peephole) output = madd(read(wide, peephole + gate), after, output);
  const hidden = f32x4.mul(sigmoid(output), tanh(after));
  if (wide) {
    v128.store(c, after);
    v128.store(h, hidden);
  } else {
    v128.store_lane<f32>(c, after, 0);
    v128.store_lane<f32>(h, hidden, 0);
  }
}

/** `batch` rows; gates [batch, 4 * hidden]; the rest [batch, hidden]; peephole [3 * hidden] or 0. */
export function lstmCell(gates: usize, c0: usize, h: usize, c: usize, peephole: usize, batch: i32, hidden: i32): void {
  const gate = <usize>hidden << 2;
  for (; batch > 0; batch--) {
    let weights = peephole;
    let left = hidden;
    for (; left >= 4; left -= 4) {
      units(true, gates, gate, c0, h, c, weights);
      gates += 16; c0 += 16; h += 16; c += 16;
      if (weights) weights += 16;
    }
    for (; left > 0; left--) {
      units(false, gates, gate, c0, h, c, weights);
      gates += 4; c0 += 4; h += 4; c += 4;
      if (weights) weights += 4;
    }
    gates += gate * 3;
  }
}
