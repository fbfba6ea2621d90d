// Determinants by elimination with pivots (G. Golub, C. Van Loan, Matrix Computations, 3.4), in float64.

/** x [count, n, n] → y [count], of columns [from, to) of the elimination; `room` has n · n float64, and one for the product so far. */
export function determinant(x: usize, y: usize, room: usize, count: i32, n: i32, from: i32, to: i32): void {
  const product = room + (<usize>(n * n) << 3);
  for (let matrix = 0; matrix < count; matrix++) {
    if (from == 0) {
      for (let i: usize = 0; i < <usize>(n * n); i++) store<f64>(room + (i << 3), <f64>load<f32>(x + (i << 2)));
      store<f64>(product, 1);
    }
    store<f64>(product, eliminate(room, n, from, to, load<f64>(product)));
    store<f32>(y, <f32>load<f64>(product));
    x += <usize>(n * n) << 2;
    y += 4;
  }
}

function eliminate(a: usize, n: i32, from: i32, to: i32, product: f64): f64 {
  if (product == 0) return 0;
  const stride = <usize>n << 3;
  for (let step = from; step < to; step++) {
    const row = a + <usize>step * stride;
    let pivot = row;
    const column = <usize>step << 3;
    for (let other = row; other < a + <usize>n * stride; other += stride)
      if (abs(load<f64>(other + column)) > abs(load<f64>(pivot + column))) pivot = other;
    const head = load<f64>(pivot + column);
    if (head == 0) return 0;
    if (pivot != row) {
      product = -product;
      for (let at = column; at < stride; at += 8) {
        const value = load<f64>(row + at);
        store<f64>(row + at, load<f64>(pivot + at));
        store<f64>(pivot + at, value);
      }
    }
    product *= head;
    for (let other = row + stride; other < a + <usize>n * stride; other += stride) {
      const factor = load<f64>(other + column) / head;
      for (let at = column; at < stride; at += 8) store<f64>(other + at, load<f64>(other + at) - factor * load<f64>(row + at));
    }
  }
  return product;
}
