// The executor: walks a flat program and calls the kernels. Nothing outside WebAssembly runs between two operators.
import * as op from './opcodes.ts';
import { Gemm, PackMatrix, Unary, at, useBases } from './operands.ts';
import { activate, gemm, packMatrix } from './tensor/gemm.ts';
import { unary } from './tensor/unary.ts';

const DONE: i32 = -1;
const OK: i32 = -1;

let fault: u32 = 0;

/** Word index of the instruction that faulted last. */
export function faultWord(): u32 {
  return fault;
}

/**
 * Runs the program at `words` from word `pc` on. `bases` points to the arena's, weights' and tables' base pointers (u32 each), `flag` to
 * an i32 that is read after every instruction: when it is not zero, the run is suspended.
 * Returns -1 when the program is done, the word to resume at (>= 0) when suspended, -(2 + fault) when it cannot go on.
 */
export function execute(words: usize, pc: u32, bases: usize, flag: usize): i32 {
  useBases(bases);
  while (true) {
    const instruction = words + (<usize>pc << 2);
    const head = load<u32>(instruction);
    if ((head & 0xff) == op.END) return DONE;
    const code = run(head & 0xff, instruction + 4);
    if (code != OK) {
      fault = pc;
      return -(2 + code);
    }
    pc += head >> 8;
    if (atomic.load<i32>(flag) != 0) return pc;
  }
}

/** Returns OK or a fault. */
function run(opcode: u32, operands: usize): i32 {
  switch (opcode) {
    case op.GEMM: return runGemm(changetype<Gemm>(operands));
    case op.PACK_MATRIX: return runPackMatrix(changetype<PackMatrix>(operands));
    case op.UNARY: return runUnary(changetype<Unary>(operands));
    default: return op.FAULT_OPCODE;
  }
}

function runGemm(o: Gemm): i32 {
  const c = at(o.c), ldc = <usize>o.ldc << 2;
  gemm(
    at(o.a), <usize>o.lda << 2, at(o.b), c, ldc, o.m, o.n, o.k, o.panel,
    at(o.bias), at(o.residual), <usize>o.ldr << 2, o.low, o.high,
  );
  activate(o.kind, c, ldc, o.m, o.n, o.alpha, o.beta);
  return OK;
}

function runPackMatrix(o: PackMatrix): i32 {
  packMatrix(at(o.b), at(o.packed), o.k, o.n, o.transposed != 0, o.panel, o.begin, o.end);
  return OK;
}

function runUnary(o: Unary): i32 {
  unary(o.kind, at(o.x), at(o.y), o.count, o.alpha, o.beta);
  return OK;
}
