/**
 * Random workloads of runs that several cores share, which more urgent ones set aside amid a section, and which cores take over from each
 * other by themselves. Whatever happens when, each gives the bits that one core alone comes to.
 */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Core } from '../../../runtime/engine/core.ts';
import { CoreBlock } from '../../../runtime/engine/core-block.ts';
import { Dispatcher } from '../../../runtime/engine/dispatcher.ts';
import { loadKernels, prepareV8 } from '../../../runtime/engine/kernels.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import type { RunAccount } from '../../../runtime/schedule/events.ts';
import { Random } from '../../random.ts';
import { sameBits } from '../compile/graphs.ts';
import { type SharedProgram, sharedPrograms } from './shared-programs.ts';

prepareV8();

const SEED = Number(process.env.SEED ?? 20261130);
console.log(`seed ${SEED}`);
const ROUNDS = 400;
const random = new Random(SEED);

function setup(cores: number) {
  const memory = new EngineMemory(256 << 20);
  const kernels = loadKernels(memory.memory, { build: 'plain' });
  memory.reserve(kernels.heapBase);
  const blocks = CoreBlock.allocate(memory, cores);
  return { memory, kernels, blocks, ...sharedPrograms(memory, kernels, random) };
}

/** Submits runs and looks at their answers. */
class Workload {
  readonly seen = { runs: 0, shared: 0, leftToOne: 0 };
  readonly #dispatcher: Dispatcher;
  readonly open = new Set<Promise<void>>();
  #problem: unknown;

  constructor(dispatcher: Dispatcher) {
    this.#dispatcher = dispatcher;
  }

  submit({ model, program, inputs, expected }: SharedProgram, priority: number): void {
    const run = ++this.seen.runs;
    const answered = this.#dispatcher.run(model, program, inputs, { priority }).then(({ outputs, accounts }) => {
      for (const name of Object.keys(expected))
        assert.ok(sameBits(outputs[name], expected[name]), `run ${run} of ${model} gives other bits`);
      this.#look(accounts?.[0] as RunAccount);
    });
    const ended = answered
      .catch((problem) => {
        this.#problem ??= problem;
      })
      .finally(() => this.open.delete(ended));
    this.open.add(ended);
  }

  check(): void {
    if (this.#problem) throw this.#problem;
  }

  /** Counts those that several cores had begun when they were set aside, and one core alone went on with. */
  #look({ slices }: RunAccount): void {
    const wide = slices.findIndex(({ cores }) => cores.length > 1);
    if (wide < 0) return;
    this.seen.shared++;
    if (slices.slice(wide + 1).some(({ cores }) => cores.length === 1)) this.seen.leftToOne++;
  }
}

test('runs that several cores share, set aside by more urgent ones and handed over, give the bits of one core alone', async () => {
  const { memory, kernels, blocks, long, urgent } = setup(2);
  const { build, module } = kernels;
  const cores = [0, 1].map((index) => new Core({ memory: memory.memory, build, module, blocks, index }));
  const workload = new Workload(new Dispatcher({ first: cores[0] as Core, cores }));
  const alive = setInterval(() => {}, 1000);
  const before = memory.usedBytes;
  try {
    for (let round = 0; round < ROUNDS; round++) {
      // One has all cores, until others come that are more urgent, a few at a time.
      for (let more = random.below(8) === 0 ? 2 : 1; more > 0; more--)
        workload.submit(random.pick(long), 2 + random.below(2));
      for (let bursts = 1 + random.below(3); bursts > 0; bursts--) {
        if (random.below(4) > 0) await setTimeout(random.below(3));
        else await setImmediate();
        for (let more = 1 + random.below(4); more > 0; more--) workload.submit(urgent, random.below(2));
      }
      if (random.below(8) > 0) await Promise.all(workload.open);
      workload.check();
    }
    await Promise.all(workload.open);
    workload.check();
  } finally {
    clearInterval(alive);
    await Promise.all(cores.map((core) => core.close()));
  }
  const { runs, shared, leftToOne } = workload.seen;
  console.log(`${runs} runs, ${shared} shared, ${leftToOne} of these left to one core`);
  assert.ok(leftToOne > 0, 'nothing of what is to be tested happened');
  assert.is(memory.usedBytes, before);
});

test.run();
