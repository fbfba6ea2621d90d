/** How instructions lie in a program's words: see assembly/program.ts. The low byte of the first word is the opcode, the rest its length in words. */
import { END } from '../../assembly/opcodes.ts';

export function opcodeAt(words: Uint32Array, word: number): number {
  return (words[word] as number) & 0xff;
}

/** Of the instructions from one word to another. */
export function opcodesBetween(words: Uint32Array, begin: number, end: number): Set<number> {
  const opcodes = new Set<number>();
  for (let word = begin; word < end; word += (words[word] as number) >>> 8) opcodes.add(opcodeAt(words, word));
  return opcodes;
}

export function hasOpcode(words: Uint32Array, opcode: number): boolean {
  let word = 0;
  for (let found = opcodeAt(words, 0); found !== END; found = opcodeAt(words, word)) {
    if (found === opcode) return true;
    word += (words[word] as number) >>> 8;
  }
  return false;
}
