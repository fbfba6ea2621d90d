// The error function in float64.

const ROOT_OF_PI: f64 = 1.7724538509055160273;

/** 2/√π · e^(-x²) · Σ 2ⁿ x^(2n+1) / (1·3·5…(2n+1)): no term is negative, so nothing cancels (Abramowitz and Stegun, 7.1.6). */
function series(x: f64): f64 {
  let term = x, sum = x;
  for (let n = 1; term > sum * 1e-17; n++) {
    term *= 2 * x * x / <f64>(2 * n + 1);
    sum += term;
  }
  return 2 / ROOT_OF_PI * NativeMath.exp(-x * x) * sum;
}

/** e^(-x²) / √π over a continued fraction, from its far end (Abramowitz and Stegun, 7.1.14); 60 steps suffice from 2 on. */
function tail(x: f64): f64 {
  let fraction = x;
  for (let n = 60; n > 0; n--) fraction = x + <f64>n / 2 / fraction;
  return NativeMath.exp(-x * x) / ROOT_OF_PI / fraction;
}

export function erf64(x: f64): f64 {
  const size = abs<f64>(x);
  if (!(size > 0)) return x;
  return copysign<f64>(size < 2 ? series(size) : size < 6 ? 1 - tail(size) : 1, x);
}

/** 1 - erf(x), without losing digits where that is near to 0. */
export function erfc64(x: f64): f64 {
  return x < 2 ? 1 - erf64(x) : tail(x);
}
