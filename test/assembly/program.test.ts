/** The executor: runs can be left and taken up at every instruction, and say why they cannot go on. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { FAULT_INDEX, FAULT_OPCODE, OPCODE_MAX } from '../../assembly/opcodes.ts';
import { type KernelBuild, prepareV8 } from '../../runtime/engine/kernels.ts';
import { kernelTable, type Row } from './kernel-table.ts';
import { Machine, type Region, Trial } from './machine.ts';

const DONE = -1;
const SEED = 7;

prepareV8();
// The executor is the same in every build; this one runs where it is used most.
const build: KernelBuild = process.arch === 'x64' ? 'revectorized' : 'relaxed';
const machine = new Machine(build);

function suspend(region: Region, on: boolean): void {
  Atomics.store(new Int32Array(machine.memory.buffer), region.flag / 4, on ? 1 : 0);
}

function prepare(region: Region, row: Row, index: number): Trial {
  const trial = new Trial(machine, region, SEED + index);
  row.cases[index]?.(trial);
  trial.load();
  suspend(region, false);
  return trial;
}

/** One instruction of a run, or a part of one that does not end at once; returns where to go on. */
function step(region: Region, pc: number): number {
  suspend(region, true);
  const next = machine.execute(region, pc);
  assert.ok(next === DONE || next >= pc, `went from word ${pc} to ${next}`);
  return next;
}

test('a run that is suspended after every instruction gives the same bits as one that is not', () => {
  let suspensions = 0;
  for (const row of kernelTable)
    for (let index = 0; index < row.cases.length; index++) {
      const region = machine.regions[0] as Region;
      const trial = prepare(region, row, index);
      const before = trial.snapshot();
      assert.is(machine.execute(region), DONE);
      const whole = trial.snapshot();
      trial.restore(before);
      for (let pc = 0; pc !== DONE; suspensions++) pc = step(region, pc);
      assert.ok(Buffer.compare(whole, trial.snapshot()) === 0, `${row.name}, case ${index} differs`);
    }
  assert.ok(suspensions > 1000, `only ${suspensions} suspensions`);
});

test('two runs that take turns after every instruction do not disturb each other', () => {
  let turns = 0;
  for (let i = 0; i < kernelTable.length; i++) {
    const rows = [kernelTable[i], kernelTable[(i * 7 + 3) % kernelTable.length]] as [Row, Row];
    const runs = rows.map((row, side) => {
      const region = machine.regions[side] as Region;
      const trial = prepare(region, row, row.cases.length - 1);
      const before = trial.snapshot();
      assert.is(machine.execute(region), DONE);
      const alone = trial.snapshot();
      trial.restore(before);
      return { region, trial, alone, pc: 0, name: row.name };
    });
    while (runs.some((run) => run.pc !== DONE))
      for (const run of runs) if (run.pc !== DONE) [run.pc, turns] = [step(run.region, run.pc), turns + 1];
    for (const { trial, alone, name } of runs)
      assert.ok(Buffer.compare(alone, trial.snapshot()) === 0, `${name}, beside another run, differs`);
  }
  assert.ok(turns > 200, `only ${turns} turns`);
});

test('a gather index outside the axis faults and names the instruction', () => {
  for (const index of [5, -6, 2 ** 31 - 1]) {
    const region = machine.regions[0] as Region;
    suspend(region, false);
    const trial = new Trial(machine, region, SEED);
    const x = trial.input(trial.floats(5));
    const y = trial.scratch(16);
    trial.assembler.fill(y, 4, 0);
    trial.assembler.gather(x, trial.input(Int32Array.of(4, index)), 'int32', y, 1, 5, 2, 4);
    trial.load();
    assert.is(machine.execute(region), -(2 + FAULT_INDEX));
    assert.is(machine.kernels.faultWord(), 4); // behind the fill and its three operands
  }
});

test('an opcode that does not exist faults', () => {
  for (const opcode of [OPCODE_MAX + 1, 100, 255]) {
    const region = machine.regions[0] as Region;
    new Uint32Array(machine.memory.buffer, region.words, 2).set([opcode | (1 << 8), 1 << 8]);
    assert.is(machine.execute(region), -(2 + FAULT_OPCODE));
    assert.is(machine.kernels.faultWord(), 0);
  }
});

test('an empty program is done at once', () => {
  const region = machine.regions[0] as Region;
  new Trial(machine, region, SEED).load();
  assert.is(machine.execute(region), DONE);
});

test.run();
