/** Random workloads of models that do not fit together, through the real dispatcher and the real policy, on cores and loads in virtual time. */
import { setImmediate } from 'node:timers/promises';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { Dispatcher } from '../../../runtime/engine/dispatcher.ts';
import type { LoadedProgram } from '../../../runtime/engine/loaded-program.ts';
import { EngineMemory, MemoryLimitError } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import type { Model, RunResult } from '../../../runtime/engine/model.ts';
import type { Residence } from '../../../runtime/engine/resident-model.ts';
import { RunError } from '../../../runtime/engine/run-error.ts';
import type { PartOptions } from '../../../runtime/engine/run-request.ts';
import type { RunAccount } from '../../../runtime/schedule/events.ts';
import type { Random } from '../../random.ts';
import { chain } from './chain.ts';
import { playSeeds } from './play-seeds.ts';
import { type Course, processorsOf, VirtualCore, type VirtualMachine, VirtualTime } from './virtual-cores.ts';

const WORKLOADS = 60;

const BUDGET = 1000;
const GROWTH = 50;
const BROKEN = 'the file is broken';

/** What stands for a model's file: how much it needs, and how it loads. */
class File {
  readonly name: string;
  bytes: number;
  heldBytes = 0;
  /** Since it was loaded. */
  hasGrown = false;
  readonly pinned: boolean;
  readonly loadMs: number;
  state: 'absent' | 'chosen' | 'there' | 'leaving' = 'absent';
  loads = 0;

  constructor(random: Random, index: number) {
    this.name = `model-${index}`;
    this.bytes = 120 + random.below(420);
    this.pinned = index === 0;
    this.loadMs = random.next() * 20;
  }
}

const isIn = (state: File['state']): boolean => state === 'there' || state === 'leaving';

interface Plan extends Course {
  readonly id: number;
  readonly model: number;
  readonly arrivalMs: number;
  readonly priority: number;
  readonly cancelMs?: number;
  readonly timeoutMs?: number;
}

class Workload {
  readonly outcomes: Record<string, number> = {};
  readonly #random: Random;
  readonly #machine: VirtualMachine;
  readonly #dispatcher: Dispatcher;
  readonly #weights: MemoryWeights;
  readonly #files: readonly File[];
  readonly #plans: readonly Plan[];
  readonly #open = new Map<number, Plan>();
  /** Those of which the policy knows for sure: a run that is late, or cancelled, is heard of afterwards. */
  readonly #waiting = new Set<Plan>();
  #problem: unknown;

  constructor(random: Random) {
    this.#random = random;
    const memory = new EngineMemory(32 << 20);
    memory.reserve(1024);
    const time = new VirtualTime();
    const courseOf = (id: number): Course => this.#plans[id - 1] as Plan;
    const fixed = { arenas: new Map(), instructionMs: 0.9, handOverShare: random.next() };
    this.#machine = { ...fixed, time, memory, random, courseOf };
    const cores = Array.from({ length: 1 + random.below(3) }, (_, index) => new VirtualCore(this.#machine, index));
    this.#dispatcher = new Dispatcher(processorsOf(cores), { clock: time, memoryBytes: BUDGET });
    const { residents } = this.#dispatcher;
    const carryOut = residents.carryOut.bind(residents);
    residents.carryOut = (decision) => {
      if (decision.kind === 'load') this.#choose(this.#files.find(({ name }) => name === decision.model) as File);
      return carryOut(decision);
    };
    const adopt = residents.adopt.bind(residents);
    residents.adopt = (whose) => {
      this.#note('displaced');
      return adopt(whose);
    };
    this.#weights = new MemoryWeights(memory, 'm', 1 << 16);
    chain(this.#weights, memory, 2).free();
    this.#files = Array.from({ length: 3 + random.below(3) }, (_, index) => new File(random, index));
    let arrivalMs = 0;
    this.#plans = Array.from({ length: 40 }, (_, place): Plan => {
      arrivalMs += -Math.log(1 - random.next()) * 12;
      return {
        ...{ id: place + 1, model: random.below(this.#files.length), arrivalMs, priority: 1 + random.below(3) },
        ...{ needMs: 0.3 + random.next() * 20, end: 'done' },
        cancelMs: random.next() < 0.08 ? random.next() * 40 : undefined,
        timeoutMs: random.next() < 0.08 ? 1 + random.next() * 60 : undefined,
      };
    });
  }

  async play(): Promise<void> {
    const { time, memory } = this.#machine;
    const before = memory.usedBytes;
    const models = this.#files.map((file) => this.#load(file));
    for (const model of models) model.catch(() => {});
    for (const plan of this.#plans) time.after(plan.arrivalMs, () => this.#submit(plan, models[plan.model] as never));
    await time.play(() => {
      if (this.#problem) throw this.#problem;
    });
    assert.is(this.#open.size, 0, `runs ${[...this.#open.keys()]} never end`);
    let areClosed = false;
    const closing = Promise.all(
      models.map((model) =>
        model.then(
          (each) => each.close(),
          () => undefined,
        ),
      ),
    ).finally(() => {
      areClosed = true;
    });
    for (let turn = 0; turn < 100 && !areClosed; turn++) {
      await setImmediate();
      await time.play(() => {});
    }
    assert.ok(areClosed, 'models are never closed');
    await closing;
    assert.is(memory.usedBytes, before, 'memory is left behind');
  }

  #load(file: File): Promise<Model> {
    let needed = 0;
    const startOver = (): void => {
      needed = 0;
    };
    const memory = {
      startOver,
      get usedBytes() {
        return isIn(file.state) ? file.heldBytes : 0;
      },
      get neededBytes() {
        return needed;
      },
      get refusedBytes() {
        return needed;
      },
    };
    const open = async (residence: Residence): Promise<Model> => {
      needed = file.bytes;
      const used = this.#files.reduce((sum, { state, heldBytes }) => sum + (isIn(state) ? heldBytes : 0), 0);
      if (used + file.bytes > BUDGET) {
        file.state = 'absent';
        assert.ok(file.loads === 0 || file.hasGrown, `${file.name} has no room, although its size is known`);
        throw new MemoryLimitError('too little', { othersHaveIt: true, wantedBytes: file.bytes });
      }
      file.loads++;
      file.hasGrown = false;
      file.heldBytes = file.bytes;
      file.state = 'there';
      await new Promise<void>((resolve) => this.#machine.time.after(file.loadMs, resolve));
      if (file.loads > 2 && this.#random.next() < 0.1) {
        file.state = 'absent';
        for (const plan of this.#waiting) if (this.#files[plan.model] === file) this.#waiting.delete(plan);
        this.#note('broken');
        throw new Error(BROKEN);
      }
      return this.#partOf(file, residence, () => {
        needed = file.bytes;
      });
    };
    return this.#dispatcher.residents.load({ ...file, memory, open });
  }

  /** The policy loads it: no run that waits for another model which could be loaded is more urgent than all that wait for this one. */
  #choose(chosen: File): void {
    chosen.state = 'chosen';
    if (chosen.loads === 0) return;
    this.#note('loaded again');
    const urgency = (plans: Iterable<Plan>, of: (file: File) => boolean): number =>
      Math.min(...[...plans].filter(({ model }) => of(this.#files[model] as File)).map(({ priority }) => priority));
    const own = urgency(this.#open.values(), (file) => file === chosen);
    const others = urgency(this.#waiting, ({ state, loads }) => state === 'absent' && loads > 0);
    if (own > others) this.#problem ??= new Error(`${chosen.name} is loaded for class ${own} while ${others} waits`);
  }

  /** A run that needs more than the model has, for the first time since it was loaded, where others could make room. */
  #grow(file: File): void {
    const [pinned] = this.#files as [File];
    const canGo = (other: File): boolean => other !== file && !other.pinned && other.state === 'there';
    if (file.hasGrown || file.pinned || this.#random.next() > 0.2 || !this.#files.some(canGo)) return;
    if (file.bytes + pinned.bytes + GROWTH > BUDGET) return;
    file.hasGrown = true;
    file.bytes += GROWTH;
    this.#note('grown');
    throw new MemoryLimitError('too little', { othersHaveIt: true, wantedBytes: GROWTH });
  }

  #partOf(file: File, { key, hold }: Residence, measure: () => void): Model {
    const dispatcher = this.#dispatcher;
    const program: LoadedProgram = chain(this.#weights, this.#machine.memory, 2);
    return {
      ...{ name: file.name, engine: 'llmasos', inputs: [], outputs: [] },
      run: async (inputs, options?: PartOptions) => {
        try {
          this.#grow(file);
        } finally {
          measure();
        }
        if (this.#random.next() < 0.7) return dispatcher.run(key, program, inputs as never, options ?? {});
        // It is found out what to run while the model is held.
        const letGo = hold();
        try {
          await new Promise<void>((resolve) => this.#machine.time.after(this.#random.next() * 3, resolve));
          assert.is(file.state, 'there', `${file.name} leaves while it is held`);
          return dispatcher.run(key, program, inputs as never, options ?? {});
        } finally {
          letGo();
        }
      },
      close: async () => {
        assert.is(file.state, 'there');
        file.state = 'leaving';
        if (this.#open.size > 0) assert.ok(!file.pinned, 'a pinned model leaves');
        await dispatcher.cancelAll(key, [program], new Error('the model is gone'));
        await new Promise<void>((resolve) => this.#machine.time.after(1, resolve));
        program.free();
        file.state = 'absent';
      },
    };
  }

  #submit(plan: Plan, loading: Promise<Model>): void {
    const { id, priority, timeoutMs, cancelMs } = plan;
    this.#open.set(id, plan);
    const abort = new AbortController();
    if (cancelMs !== undefined) this.#machine.time.after(cancelMs, () => abort.abort(new Error('cancelled')));
    const data = new Float32Array(64 * 64).fill(id);
    const x = { type: 'float32', dims: [64, 64], data } as const;
    loading
      .then((model) => {
        if (timeoutMs === undefined && cancelMs === undefined) this.#waiting.add(plan);
        return model.run({ x }, { priority, timeoutMs, signal: abort.signal });
      })
      .finally(() => this.#waiting.delete(plan))
      .then(
        (result) => this.#answered(plan, result),
        (error) => this.#failed(plan, error),
      )
      .catch((problem) => {
        this.#problem ??= problem;
      });
  }

  #note(outcome: string): void {
    this.outcomes[outcome] = (this.outcomes[outcome] ?? 0) + 1;
  }

  #answered({ id }: Plan, { outputs, accounts = [] }: RunResult): void {
    assert.ok(this.#open.delete(id), `run ${id} ends twice`);
    this.#note('done');
    const [{ submittedUs, readyUs = 0 }] = accounts as [RunAccount];
    if (readyUs > submittedUs) this.#note('waited for memory');
    assert.is((outputs.y as { data: Float32Array }).data[0], 2 * id, `run ${id} has another one's answer`);
  }

  #failed({ id, cancelMs, timeoutMs }: Plan, error: Error): void {
    assert.ok(this.#open.delete(id), `run ${id} ends twice`);
    if (error instanceof RunError) {
      this.#note(error.outcome);
      if (error.outcome === 'refused') assert.match(error.message, /needs \d+ bytes, expected at most \d+/);
      else assert.ok(timeoutMs !== undefined && error.outcome === 'timed-out', `${error}`);
    } else if (error.message === 'cancelled') {
      this.#note('cancelled');
      assert.ok(cancelMs !== undefined);
    } else if (error instanceof MemoryLimitError) this.#note('refused');
    else assert.is(error.message, BROKEN);
  }
}

test('models come and go by the policy within the budget: the most urgent run gets its model first, and every run ends once', async () => {
  await playSeeds(WORKLOADS, (random) => new Workload(random), [
    'done',
    'loaded again',
    'broken',
    'waited for memory',
    'displaced',
    'grown',
    'refused',
    'cancelled',
    'timed-out',
  ]);
});

test.run();
