/** Every kernel, on every build that this machine can run, against plain loops in float64. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as opcodes from '../../assembly/opcodes.ts';
import { type KernelBuild, prepareV8 } from '../../runtime/engine/kernels.ts';
import { kernelTable, type Row } from './kernel-table.ts';
import { type Expected, Machine, Trial } from './machine.ts';

const DONE = -1;
const SEED = 20_261_123;
/** Opcode numbers end where the kinds begin; END does nothing. */

prepareV8();
const builds: readonly KernelBuild[] =
  process.arch === 'x64' ? ['plain', 'relaxed', 'revectorized'] : ['plain', 'relaxed'];
const machines = new Map(builds.map((build) => [build, new Machine(build)]));
console.log(`seed ${SEED}, builds ${builds.join(', ')}`);

function difference(row: Row, actual: ArrayLike<number | bigint>, expected: Expected['values']): string | undefined {
  for (let i = 0; i < expected.length; i++) {
    if (typeof expected[i] === 'bigint' && actual[i] === expected[i]) continue;
    const [is, wanted] = [Number(actual[i]), Number(expected[i])];
    // Neighbours of 64 bits are one number in float64.
    if (typeof expected[i] === 'bigint' && row.tolerance === 0)
      return `element ${i} is ${actual[i]}: expected ${expected[i]}`;
    if (Object.is(is, wanted) || is === wanted || is === Math.fround(wanted)) continue;
    const scale = row.relative ? Math.max(Math.abs(wanted), 1e-30) : Math.max(1, Math.abs(wanted));
    const error = Math.abs(is - wanted) / scale;
    if (!(error <= row.tolerance)) return `element ${i} is ${is}: expected ${wanted} (error ${error.toExponential(1)})`;
  }
  return undefined;
}

function runCase(machine: Machine, row: Row, index: number): string | undefined {
  const region = machine.regions[0] as (typeof machine.regions)[number];
  const trial = new Trial(machine, region, SEED + index);
  row.cases[index]?.(trial);
  trial.load();
  const code = machine.execute(region);
  if (code !== DONE) return `execute returned ${code}`;
  for (const expected of trial.expected) {
    const found = difference(row, trial.actual(expected), expected.values);
    if (found) return found;
  }
  return trial.damage();
}

for (const row of kernelTable)
  test(`${row.name}: every size on every build gives what plain loops give, and touches nothing else`, () => {
    let seen = 0;
    for (const [build, machine] of machines)
      for (let index = 0; index < row.cases.length; index++, seen++)
        assert.is(runCase(machine, row, index), undefined, `${build}, case ${index}`);
    assert.is(seen, builds.length * row.cases.length);
    assert.ok(row.cases.length > 3, `only ${row.cases.length} cases`);
  });

test('every opcode stands in the kernel table', () => {
  const listed = new Set(kernelTable.flatMap((row) => row.opcodes));
  for (let opcode = opcodes.END + 1; opcode <= opcodes.OPCODE_MAX; opcode++)
    assert.ok(listed.has(opcode), `opcode ${opcode} has no row`);
  assert.is(listed.size, opcodes.OPCODE_MAX);
});

test.run();
