// Matrix products of float64 and of integers, which wrap around: plain loops, for models that are rare and small.
import * as op from '../opcodes.ts';
import { Product, at } from '../operands.ts';

/** c = a · b of dense rows; b lies in rows of n, or in rows of k (`transposed`). What does not begin with the first term goes on with c. */
// @ts-ignore: decorator
@inline
function product<T>(o: Product): void {
  const k = <usize>o.k, size = sizeof<T>();
  const bStep = o.transposed ? size : <usize>o.n * size, bColumn = o.transposed ? k * size : size;
  let c = at(o.c) + <usize>o.begin * o.n * size;
  for (let i = o.begin; i < o.end; i++) {
    const row = at(o.a) + (<usize>i * k + o.from) * size;
    let column = at(o.b) + <usize>o.from * bStep;
    for (let j = 0; j < o.columns; j++) {
      let sum = o.from > 0 ? load<T>(c) : <T>0, q = column;
      for (let p = row, end = row + <usize>(o.to - o.from) * size; p < end; p += size) {
        sum += load<T>(p) * load<T>(q);
        q += bStep;
      }
      store<T>(c, sum);
      c += size;
      column += bColumn;
    }
    c += <usize>(o.n - o.columns) * size;
  }
}

function productOfFloat64(o: Product): void { product<f64>(o); }
function productOf32(o: Product): void { product<i32>(o); }
function productOf64(o: Product): void { product<i64>(o); }

export function productAll(o: Product): void {
  switch (o.type) {
    case op.FLOAT64: return productOfFloat64(o);
    case op.INT32:
    case op.UINT32: return productOf32(o);
    default: return productOf64(o);
  }
}
