import * as op from '../opcodes.ts';

/** The logarithm of the bytes that an element of a type takes. */
export function shiftOf(type: i32): i32 {
  switch (type) {
    case op.UINT8:
    case op.INT8:
    case op.BOOL: return 0;
    case op.INT16:
    case op.UINT16:
    case op.FLOAT16:
    case op.BFLOAT16: return 1;
    case op.FLOAT32:
    case op.INT32:
    case op.UINT32: return 2;
    default: return type < op.FLOAT8E4M3FN ? 3 : 0;
  }
}
