/** Random workloads through the real dispatcher and the real policy, on cores in virtual time. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { BATCH_SIZES } from '../../../runtime/engine/batches.ts';
import { Dispatcher } from '../../../runtime/engine/dispatcher.ts';
import type { LoadedProgram } from '../../../runtime/engine/loaded-program.ts';
import { EngineMemory } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import type { RunOptions, RunResult } from '../../../runtime/engine/model.ts';
import { RunError } from '../../../runtime/engine/run-error.ts';
import type { Random } from '../../random.ts';
import { chain, chainWithBatches } from './chain.ts';
import { playSeeds } from './play-seeds.ts';
import {
  type Course,
  LOOK_MS,
  processorsOf,
  TELL_MS,
  VirtualCore,
  type VirtualMachine,
  VirtualTime,
} from './virtual-cores.ts';

const WORKLOADS = 120;

const SAFETY = 0;
/** Runs of a program before a promise is asked of it. */
const RUNS_TO_LEARN = 3;

interface Plan extends Course {
  readonly id: number;
  readonly program: number;
  readonly arrivalMs: number;
  readonly priority: number;
  readonly tenant: string;
  /** From its arrival. */
  readonly deadlineMs?: number;
  readonly timeoutMs?: number;
  readonly cancelMs?: number;
  /** Another engine computes it. */
  readonly isOffloaded: boolean;
}

function drawPlans(random: Random, programs: number, cores: number): Plan[] {
  const times = Array.from({ length: programs }, () => 0.3 + random.next() * 25);
  const count = 30 + random.below(60);
  const meanMs = times.reduce((sum, ms) => sum + ms, 0) / programs;
  const utilisation = 0.3 + random.next() * 1.5;
  let arrivalMs = 0;
  return Array.from({ length: count }, (_, place): Plan => {
    arrivalMs += (-Math.log(1 - random.next()) * meanMs) / (utilisation * cores);
    const program = place < programs * RUNS_TO_LEARN ? place % programs : random.below(programs);
    const priority = place < programs * RUNS_TO_LEARN ? 2 : random.below(4);
    // Those that bring promises take what they always take.
    const needMs = (times[program] as number) * (priority === SAFETY ? 1 : 0.9 + 0.2 * random.next());
    const lot = random.next();
    return {
      ...{ id: place + 1, program, arrivalMs, priority, needMs },
      tenant: lot > 0.98 ? 'nobody' : lot > 0.5 ? 'default' : 'guest',
      // The first program's runs are computed together, where nothing depends on their data that could fail.
      end: program === 0 ? 'done' : lot < 0.03 ? 'fault' : lot < 0.05 ? 'lost' : 'done',
      deadlineMs: random.next() < 0.5 ? random.next() * 10 * needMs : undefined,
      timeoutMs: random.next() < 0.1 ? random.next() * 4 * needMs : undefined,
      cancelMs: random.next() < 0.1 ? random.next() * 4 * needMs : undefined,
      isOffloaded: place >= programs * RUNS_TO_LEARN && random.next() < 0.2,
    };
  });
}

class Workload {
  readonly outcomes: Record<string, number> = {};
  readonly #plans: readonly Plan[];
  readonly #machine: VirtualMachine;
  readonly #cores: readonly VirtualCore[];
  readonly #dispatcher: Dispatcher;
  readonly #programs;
  /** Neither answered nor refused. */
  readonly #open = new Map<number, Plan>();
  /** Of a program that was run before, so that it is known how long it takes. */
  readonly #promised = new Set<number>();
  /** What the other engine computes. */
  #offloaded: number | undefined;
  #problem: unknown;

  constructor(random: Random) {
    const [cores, programs] = [1 + random.below(4), 2 + random.below(3)];
    this.#plans = drawPlans(random, programs, cores);
    const memory = new EngineMemory(32 << 20);
    memory.reserve(1024);
    const time = new VirtualTime();
    const batchRuns = new Map<number, number>();
    const courseOf = (id: number): Course => this.#plans[id - 1] as Plan;
    this.#machine = {
      time,
      memory,
      random,
      courseOf,
      batchRuns,
      arenas: new Map(),
      instructionMs: 0.9,
      handOverShare: random.next(),
    };
    this.#cores = Array.from({ length: cores }, (_, index) => new VirtualCore(this.#machine, index));
    const tenants = [{ name: 'guest', weight: 2, runsMax: 5 }];
    this.#dispatcher = new Dispatcher(processorsOf(this.#cores), { clock: time, tenants });
    const weights = new MemoryWeights(memory, 'm', 1 << 16);
    this.#programs = Array.from({ length: programs }, (_, i) =>
      (i === 0 ? chainWithBatches : chain)(weights, memory, 2),
    );
    for (const { words, program } of this.#batches) batchRuns.set(words, program.batch?.runs as number);
  }

  get #batches(): LoadedProgram[] {
    const { batches } = this.#programs[0] as LoadedProgram;
    return BATCH_SIZES.map((runs) => batches?.programFor(runs) as LoadedProgram);
  }

  async play(): Promise<void> {
    const { time, memory } = this.#machine;
    const before = memory.usedBytes;
    for (const plan of this.#plans) time.after(plan.arrivalMs, () => this.#submit(plan));
    await time.play(() => this.#check());
    assert.is(this.#open.size, 0, `runs ${[...this.#open.keys()]} never end`);
    assert.is(memory.usedBytes, before, 'memory is left behind');
    this.outcomes['handed over'] = this.#cores.reduce((sum, { handOvers }) => sum + handOvers, 0);
    for (const program of [...this.#programs, ...this.#batches]) assert.is(program.users, 0);
    await Promise.all(
      this.#programs.flatMap((program, i) => [
        this.#dispatcher.cancelAll(`model-${i}`, [program], new Error('closed')),
        this.#dispatcher.offloaded.close(`model-${i}`, new Error('closed')),
      ]),
    );
  }

  #submit(plan: Plan): void {
    const { time } = this.#machine;
    const { id, program, priority, tenant, deadlineMs, timeoutMs, cancelMs } = plan;
    this.#open.set(id, plan);
    if (this.#programs[program]?.work.meanUs(0)) this.#promised.add(id);
    const abort = new AbortController();
    if (cancelMs !== undefined) time.after(cancelMs, () => abort.abort(new Error('cancelled')));
    const options: RunOptions = {
      ...{ priority, tenant, timeoutMs, signal: abort.signal },
      deadlineMs: deadlineMs === undefined ? undefined : time.epochMs() + deadlineMs,
    };
    const data = new Float32Array(64 * 64).fill(id);
    const x = { type: 'float32', dims: [64, 64], data } as const;
    const model = `model-${program}`;
    const run: Promise<RunResult> = plan.isOffloaded
      ? this.#dispatcher.offloaded.run(model, options, () => this.#compute(plan))
      : this.#dispatcher.run(model, this.#programs[program] as never, { x }, options);
    run
      .then(
        (result) => this.#answered(plan, result),
        (error) => this.#failed(plan, error),
      )
      .catch((problem) => {
        this.#problem ??= problem;
      });
  }

  /** In the other engine, which takes one run after the other. */
  #compute({ id, needMs, end }: Plan): Promise<RunResult> {
    assert.is(this.#offloaded, undefined, 'the other engine is given two runs');
    this.#offloaded = id;
    return new Promise((resolve, reject) => {
      this.#machine.time.after(needMs, () => {
        this.#offloaded = undefined;
        const y = { type: 'float32', dims: [1], data: Float32Array.of(2 * id) } as const;
        if (end === 'done') resolve({ outputs: { y }, queueMs: 0, runMs: needMs });
        else reject(new Error(end === 'lost' ? 'the run was lost' : 'the run cannot go on'));
      });
    });
  }

  #note(outcome: string): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
  }

  #count(plan: Plan, outcome: string): void {
    assert.ok(this.#open.delete(plan.id), `run ${plan.id} ends twice`);
    this.#note(outcome);
  }

  #answered(plan: Plan, { outputs, accounts = [] }: RunResult): void {
    this.#count(plan, 'done');
    assert.is(plan.end, 'done');
    assert.is((outputs.y as { data: Float32Array }).data[0], 2 * plan.id, `run ${plan.id} has another one's answer`);
    const [account] = accounts;
    if (account?.preemptions) this.outcomes.preempted = (this.outcomes.preempted ?? 0) + 1;
    if (account?.slices.some(({ batch }) => batch > 1)) this.#note('in a batch');
    if (account?.preemptions && account.slices.some(({ batch }) => batch > 1)) this.#note('batch set aside');
    if (plan.isOffloaded) this.outcomes.offloaded = (this.outcomes.offloaded ?? 0) + 1;
    else if (account?.slices.some(({ cores }) => cores[0] !== 0)) this.outcomes.elsewhere = 1;
    if (plan.deadlineMs !== undefined) assert.ok(this.#passedMs(plan) <= plan.deadlineMs + TELL_MS + 1e-6);
  }

  #failed(plan: Plan, error: Error): void {
    const passedMs = this.#passedMs(plan);
    const { instructionMs } = this.#machine;
    if (error instanceof RunError) {
      this.#count(plan, error.outcome);
      if (error.outcome === 'refused') {
        assert.ok(passedMs < 1e-6, 'refused at once');
        assert.match(error.message, /expected|quota|promised/);
        if (plan.isOffloaded && plan.priority === SAFETY)
          assert.match(error.message, /runs on accelerators only|quota/);
        return;
      }
      const limitMs = (error.outcome === 'late' ? plan.deadlineMs : plan.timeoutMs) as number;
      assert.ok(
        passedMs > limitMs - 1e-6 && passedMs <= limitMs + instructionMs + LOOK_MS + 0.01,
        `${error.outcome} ${passedMs}`,
      );
      if (plan.priority === SAFETY && this.#promised.has(plan.id))
        assert.is.not(error.outcome, 'late', `run ${plan.id} was promised to be in time`);
    } else if (error.message === 'cancelled') {
      this.#count(plan, 'cancelled');
      assert.ok(passedMs <= (plan.cancelMs as number) + instructionMs + LOOK_MS + 1e-6);
    } else {
      this.#count(plan, plan.end);
      assert.match(error.message, plan.end === 'lost' ? /the run was lost/ : /the run cannot go on/);
    }
  }

  #passedMs({ arrivalMs }: Plan): number {
    return this.#machine.time.nowMs() - 1000 - arrivalMs;
  }

  /** Nobody waits while a core is idle; a safety run waits for others of its class and for stops that are under way only. */
  #check(): void {
    if (this.#problem) throw this.#problem;
    // Nobody has heard yet of those that a core has left by itself, nor of the cores that helped it.
    const computing = new Set(this.#cores.flatMap(({ current = [], untold = [] }) => [...current, ...untold]));
    const isAllTold = this.#cores.every(({ untold }) => untold === undefined);
    const open = [...this.#open.values()];
    const offloaded = open.filter(({ isOffloaded }) => isOffloaded).length;
    assert.ok(offloaded === 0 || this.#offloaded !== undefined, `${offloaded} runs wait for an engine that is idle`);
    const waiting = open.filter(({ id, isOffloaded }) => !isOffloaded && !computing.has(id));
    const ready = this.#cores.filter(({ isReady }) => isReady);
    const idle = ready.filter(({ current, helps }) => current === undefined && !helps);
    if (waiting.length > 0 && isAllTold)
      assert.is(idle.length, 0, `${waiting.length} runs wait while ${idle.length} cores are idle`);
    const urgent = waiting.filter(({ priority }) => priority === SAFETY).length;
    const busy = ready.filter(({ current }) => current !== undefined);
    const coming = busy.reduce((sum, { isStopping, helpers }) => sum + (isStopping ? 1 + helpers : 0), 0);
    const behind = busy.some(
      ({ current, isStopping }) =>
        !isStopping && (this.#plans[(current?.[0] as number) - 1] as Plan).priority !== SAFETY,
    );
    if (behind && isAllTold)
      assert.ok(urgent <= coming, `${urgent} safety runs wait behind less urgent ones, ${coming} cores come`);
  }
}

test('whatever comes, every run ends once, as it should and with its own answer, and leaves nothing behind', async () => {
  await playSeeds(WORKLOADS, (random) => new Workload(random), [
    'done',
    'refused',
    'fault',
    'lost',
    'cancelled',
    'late',
    'timed-out',
    'preempted',
    'elsewhere',
    'handed over',
    'offloaded',
    'in a batch',
    'batch set aside',
  ]);
});

test.run();
