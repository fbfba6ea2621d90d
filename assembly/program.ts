// The executor: walks a flat program and calls the kernels. Nothing outside WebAssembly runs between two operators.
import { INSTRUCTIONS, OK } from './instructions.ts';
import * as op from './opcodes.ts';
import { useBases } from './operands.ts';

const DONE: i32 = -1;
const NOWHERE: u32 = 0xffffffff;

let fault: u32 = 0;
/** What was executed last is what stands before: the chunk before, if this is the begin of one. */
let follows: bool = true;

/** Word index of the instruction that faulted last. */
export function faultWord(): u32 {
  return fault;
}

export function setFaultWord(word: u32): void {
  fault = word;
}

export function setFollows(value: bool): void {
  follows = value;
}

/**
 * Runs the program at `words` from word `pc` on. `bases` points to the arena's, weights' and tables' base pointers (u32 each), `flag` to
 * an i32 that is read after every instruction, and where one is not done yet: when it is not zero, the run is suspended.
 * Returns -1 when the program is done, the word to resume at (>= 0) when suspended, -(2 + fault) when it cannot go on.
 */
export function execute(words: usize, pc: u32, bases: usize, flag: usize): i32 {
  useBases(bases);
  follows = true;
  return walk(words, pc, NOWHERE, flag);
}

/** As `execute`, up to word `end`, with the bases that are in use. */
export function walk(words: usize, pc: u32, end: u32, flag: usize): i32 {
  while (pc != end) {
    const instruction = words + (<usize>pc << 2);
    const head = load<u32>(instruction);
    if ((head & 0xff) == op.END) return DONE;
    const opcode = head & 0xff;
    const code = <i32>opcode < INSTRUCTIONS.length ? unchecked(INSTRUCTIONS[opcode])(instruction + 4)
      : opcode == op.FORK || opcode == op.LEAD ? OK : op.FAULT_OPCODE;
    if (code == OK) pc += opcode == op.LEAD && !follows ? 1 : head >> 8;
    else if (code != op.AGAIN) {
      fault = pc;
      return -(2 + code);
    }
    if (atomic.load<i32>(flag) != 0) break;
  }
  return pc;
}

/** As `walk`, up to the next FORK, whose word is returned. */
export function walkToFork(words: usize, pc: u32, flag: usize): i32 {
  while (true) {
    const head = load<u32>(words + (<usize>pc << 2));
    if ((head & 0xff) == op.FORK) return pc;
    const at = walk(words, pc, pc + (head >> 8), flag);
    if (at < 0 || atomic.load<i32>(flag) != 0) return at;
    pc = at;
  }
}
