// Opcodes of the flat program: plain constants, so that AssemblyScript and TypeScript read the same file.
// An instruction is word 0 = opcode | (length in words << 8), then its operands; assembly/program.ts gives their meaning.
export const END = 0;
