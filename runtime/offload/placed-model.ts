/**
 * A model that can be computed in several places: on our cores (or by the onnxruntime that stands in for them), and on accelerators. Each run
 * goes where it is expected to end first, by what waits there and by how long its runs have taken there. Safety runs go to our cores only,
 * as nothing interrupts an accelerator. An accelerator is used once it has come to the same answer, and no longer when a run fails there.
 */
import type { Accelerator } from '../engine/accelerator.ts';
import { nowMs } from '../engine/core-messages.ts';
import type { Engine } from '../engine/engine.ts';
import type { Model, RunOptions, RunResult } from '../engine/model.ts';
import { OFFLOAD } from '../engine/offloaded-runs.ts';
import { RunError } from '../engine/run-error.ts';
import type { Tensor } from '../engine/tensor.ts';
import { type EngineValue, isHostValue } from '../engine/value.ts';
import { priorityOf, SAFETY } from '../schedule/priorities.ts';
import { WorkEstimate } from '../schedule/work-estimate.ts';

export interface PlaceOfModel {
  readonly accelerator: Accelerator;
  readonly model: Model;
}

interface Place {
  readonly accelerator: Accelerator | undefined;
  readonly model: Model;
  readonly work: WorkEstimate;
  /** Runs of this model that are computed there at a time. */
  readonly cores: number;
  /** Runs of this model that were sent there and have not ended. */
  unfinished: number;
  state: 'untried' | 'tried' | 'used' | 'left';
}

type Values = Readonly<Record<string, EngineValue>>;

/** Of floats, relative to the largest of the output: sums are made in another order there. */
const DIFFERENCE_MAX = 1e-2;
/** The first run there compiles; the second says how long runs take. */
const TRIALS = 2;

export class PlacedModel implements Model {
  readonly name: string;
  readonly inputs: Model['inputs'];
  readonly outputs: Model['outputs'];
  readonly #engine: Pick<Engine, 'expectedUs' | 'info'>;
  readonly #own: Place;
  readonly #others: readonly Place[];
  #trial: Promise<void> | undefined;
  #closed = false;

  constructor(engine: Pick<Engine, 'expectedUs' | 'info'>, own: Model, others: readonly PlaceOfModel[]) {
    this.name = own.name;
    this.inputs = own.inputs;
    this.outputs = own.outputs;
    this.#engine = engine;
    const fresh = () => ({ work: new WorkEstimate(), unfinished: 0 });
    this.#own = { accelerator: undefined, model: own, ...fresh(), cores: engine.info.cores, state: 'used' };
    this.#others = others.map((other) => ({ ...other, ...fresh(), cores: 1, state: 'untried' }));
  }

  get engine(): Model['engine'] {
    return this.#own.model.engine;
  }

  get fallbackReason(): string | undefined {
    return this.#own.model.fallbackReason;
  }

  async run(inputs: Values, options: RunOptions = {}): Promise<RunResult> {
    const place = this.#choose(options);
    try {
      return await this.#runAt(place, inputs, options);
    } catch (error) {
      // What the policy refuses, or ends, it would refuse and end elsewhere; so would what is wrong with the inputs.
      if (!place.accelerator || error instanceof RunError || options.signal?.aborted || this.#closed) throw error;
      const result = await this.#runAt(this.#own, inputs, options);
      this.#leave(place, `a run failed there: ${(error as Error).message}`);
      return result;
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    await Promise.all([this.#own, ...this.#others].map(({ model }) => model.close()));
    await this.#trial;
  }

  #choose({ priority }: RunOptions): Place {
    if (priority !== undefined && priorityOf(priority) === SAFETY) return this.#own;
    const nowUs = nowMs() * 1000;
    const expectedUs = ({ accelerator, work, cores, unfinished }: Place): number => {
      const name = accelerator?.name ?? (this.engine === 'onnxruntime' ? OFFLOAD : undefined);
      const us = work.meanUs(nowUs);
      // The policy may not have heard yet of what was sent a moment ago.
      return Math.max(this.#engine.expectedUs(priority, us, name), us * Math.max(1, (unfinished + 1) / cores));
    };
    let [best, bestUs] = [this.#own, expectedUs(this.#own)];
    for (const place of this.#others) {
      if (place.state !== 'used') continue;
      const us = expectedUs(place);
      if (us < bestUs) [best, bestUs] = [place, us];
    }
    return best;
  }

  async #runAt(place: Place, inputs: Values, options: RunOptions): Promise<RunResult> {
    const untried = this.#trial ? undefined : this.#others.find(({ state }) => state === 'untried');
    // The caller may change them as soon as there is an answer.
    const given = untried && structuredClone(inputs);
    place.unfinished++;
    const result = await place.model.run(inputs, options).finally(() => {
      place.unfinished--;
    });
    const { accounts, runMs } = result;
    place.work.note(accounts?.reduce((sum, { runUs }) => sum + runUs, 0) ?? runMs * 1000, nowMs() * 1000);
    if (untried && given && untried.state === 'untried') {
      untried.state = 'tried';
      this.#trial = this.#try(untried, given, structuredClone(result.outputs)).finally(() => {
        this.#trial = undefined;
      });
    }
    return result;
  }

  /** In the background: the same inputs there, whose outputs must be those. */
  async #try(place: Place, inputs: Values, outputs: Values): Promise<void> {
    try {
      for (let trial = 0; trial < TRIALS; trial++) {
        const found = await this.#runAt(place, inputs, { priority: 'background' });
        const wrong = Object.keys(outputs).find((name) => !agree(outputs[name], found.outputs[name]));
        if (wrong !== undefined) {
          this.#leave(place, `its output "${wrong}" differs from ours there`);
          return;
        }
      }
      place.state = 'used';
      place.accelerator?.tell(
        this.name,
        'came to the same answer there and is computed where it is expected to end first',
      );
    } catch (error) {
      this.#leave(place, `it failed there: ${(error as Error).message}`);
    }
  }

  #leave(place: Place, why: string): void {
    if (this.#closed || place.state === 'left') return;
    place.state = 'left';
    place.accelerator?.tell(this.name, `is computed on the cores from now on: ${why}`);
  }
}

/** Whether two outputs say the same. */
function agree(a: EngineValue | undefined, b: EngineValue | undefined): boolean {
  if (!a || !b || isHostValue(a) || isHostValue(b)) return false;
  const [own, other] = [a as Tensor, b as Tensor];
  if (own.type !== other.type || own.dims.join() !== other.dims.join()) return false;
  const isFloat = own.type.startsWith('float');
  let [largest, difference] = [0, 0];
  for (let i = 0; i < own.data.length; i++) {
    const [x, y] = [Number(own.data[i]), Number(other.data[i])];
    if (Object.is(x, y) || x === y) {
      if (Number.isFinite(x)) largest = Math.max(largest, Math.abs(x));
      continue;
    }
    if (!Number.isFinite(x) || !Number.isFinite(y)) return false;
    largest = Math.max(largest, Math.abs(x));
    difference = Math.max(difference, Math.abs(x - y));
  }
  return difference <= (isFloat ? DIFFERENCE_MAX * largest : 0);
}
