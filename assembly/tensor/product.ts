// Matrix products of float64 and of integers, which wrap around: plain loops, for models that are rare and small.
import * as op from '../opcodes.ts';
import { Product, at } from '../operands.ts';

/** c = a · b of dense rows; b lies in rows of k, or in rows of n (`transposed`). */
// @ts-ignore: decorator
@inline
function product<T>(o: Product): void {
  const k = <usize>o.k, size = sizeof<T>();
  const bStep = o.transposed ? size : <usize>o.n * size, bColumn = o.transposed ? k * size : size;
  let c = at(o.c) + <usize>o.begin * o.n * size;
  for (let i = o.begin; i < o.end; i++) {
    const row = at(o.a) + <usize>i * k * size;
    let column = at(o.b);
    for (let j = 0; j < o.n; j++) {
      let sum = <T>0, q = column;
      for (let p = row, end = row + k * size; p < end; p += size) {
        sum += load<T>(p) * load<T>(q);
        q += bStep;
      }
      store<T>(c, sum);
      c += size;
      column += bColumn;
    }
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
