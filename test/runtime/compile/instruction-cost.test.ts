/** No operation of the kernel graph becomes an instruction that is estimated to take longer than the bound, whatever the shapes. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as op from '../../../assembly/opcodes.ts';
import { Builder, ConstantKeys } from '../../../runtime/compile/builder.ts';
import { INSTRUCTION_US_MAX } from '../../../runtime/compile/element-cost.ts';
import { emitProgram } from '../../../runtime/compile/emit.ts';
import type { KernelGraph, Value } from '../../../runtime/compile/graph.ts';
import { costedOperands, instructionUs } from '../../../runtime/compile/instruction-cost.ts';
import { opcodeAt } from '../../../runtime/compile/instruction-words.ts';
import type { Program } from '../../../runtime/compile/program.ts';
import type { KernelTraits } from '../../../runtime/compile/traits.ts';
import { arrayOf, elementCount } from '../../../runtime/engine/tensor.ts';
import { type Case, cases } from './large-operations.ts';
import { createWeights } from './weights.ts';

function read(file: string): string {
  return readFileSync(new URL(`../../../assembly/${file}`, import.meta.url), 'utf8');
}

/** In the order in which they stand in the file: other constants follow behind the opcodes. */
const opcodeNames = new Map(
  [...read('opcodes.ts').matchAll(/^export const ([A-Z0-9_]+) = (\d+);/gm)]
    .slice(1, op.OPCODE_MAX + 1)
    .map(([, name = '', opcode]) => [Number(opcode), name]),
);

/** How an instruction of one opcode is called in assembly/operands.ts. */
const operandClasses: Readonly<Record<string, string>> = {
  GEMM_INTEGER: 'IntegerGemm',
  IM2COL_INTEGER: 'Im2col',
  DEPTHWISE_INTEGER: 'IntegerDepthwise',
  PACK_INTEGER: 'PackMatrix',
  ...{ RESIZE_NEAREST: 'Resize', RESIZE_LINEAR: 'Resize', SOFTMAX: 'Reduce', ARG_MAX: 'Reduce' },
  ...{ BINARY: 'Broadcast', COMPARE: 'Broadcast', WHERE: 'Broadcast', QUANTIZE: 'Broadcast' },
  ...{ REQUANTIZE: 'Broadcast', DEQUANTIZE: 'Broadcast', CENTER: 'Broadcast' },
};

function className(opcode: string): string {
  const words = opcode.toLowerCase().split('_');
  return operandClasses[opcode] ?? words.map((word) => word[0]?.toUpperCase() + word.slice(1)).join('');
}

/** The fields of each class, in order. */
function kernelOperands(): Map<string, string[]> {
  const source = ['operands.ts', 'operands-conv.ts']
    .map(read)
    .join('\n')
    .replaceAll(/\/\/.*$/gm, '');
  return new Map(
    [...source.matchAll(/^export class (\w+) \{([^}]*)\}/gm)].map(([, name, body = '']) => [
      name as string,
      [...body.matchAll(/(\w+): /g)].map(([, field]) => field as string),
    ]),
  );
}

test('the cost model reads operands where the kernels have them, and knows every instruction', () => {
  assert.is(opcodeNames.size, op.OPCODE_MAX);
  const classes = kernelOperands();
  for (const [opcode, name] of opcodeNames) {
    const costed = costedOperands.get(opcode);
    assert.ok(costed, `${name} has no cost`);
    assert.equal(classes.get(className(name))?.slice(0, costed?.length), costed, name);
  }
});

function graphOf(each: Case): KernelGraph {
  const builder = new Builder(new ConstantKeys());
  const inputs: Value[] = [];
  const [operation, operands] = each({
    input(type, ...dims) {
      const value = builder.input(type, dims);
      inputs.push(value);
      return value;
    },
    constant(type, dims) {
      const data = new (arrayOf(type))(elementCount(dims));
      return builder.constant({ type, dims, data });
    },
  });
  const outputs = builder.addAll(operation, operands);
  const named = (values: readonly Value[], prefix: string) =>
    values.map((value, i) => ({ name: `${prefix}${i}`, value }));
  return { inputs: named(inputs, 'x'), outputs: named(outputs, 'y'), nodes: builder.nodes };
}

interface Longest {
  readonly us: number;
  readonly name: string;
  readonly operands: readonly number[];
}

function longestOf({ words }: Program, seen: Set<number>): Longest {
  let longest: Longest = { us: 0, name: 'nothing', operands: [] };
  for (let word = 0; opcodeAt(words, word) !== op.END; word += (words[word] as number) >>> 8) {
    const opcode = opcodeAt(words, word);
    seen.add(opcode);
    const us = instructionUs(words, word);
    if (us <= longest.us) continue;
    longest = {
      us,
      name: opcodeNames.get(opcode) ?? String(opcode),
      operands: [...words.subarray(word + 1, word + ((words[word] as number) >>> 8))],
    };
  }
  return longest;
}

test('no operation becomes an instruction that is estimated to take longer than the bound', () => {
  const machines: KernelTraits[] = [
    { panel: 16, byteDot: 'unsigned' },
    { panel: 8, direct: true },
  ];
  const seen = new Set<number>();
  const above: string[] = [];
  for (const traits of machines)
    for (const [kind, own] of Object.entries(cases))
      own.forEach((each, index) => {
        const { us, name, operands } = longestOf(emitProgram(graphOf(each), createWeights(), traits), seen);
        if (us > INSTRUCTION_US_MAX)
          above.push(`${kind}, case ${index}: ${name} of ${us.toFixed(0)} µs, operands ${operands.join(' ')}`);
      });
  assert.equal(above, []);
  const unseen = [...opcodeNames].filter(([opcode]) => !seen.has(opcode));
  assert.equal(unseen, [], 'instructions that no case has');
});

test.run();
