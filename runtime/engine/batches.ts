/** Programs that compute several runs of another one together, of as many runs as was found to pay. */

import { sameDims } from '../compile/strides.ts';
import { type Batching, type BatchTime, payingUs } from '../schedule/batch.ts';
import type { LoadedProgram } from './loaded-program.ts';
import type { Tensor, ValueDescription } from './tensor.ts';

/** How many runs, in the order in which programs are made. */
export const BATCH_SIZES = [2, 4, 8] as const;
/** Longer runs read their weights, and their instructions, in a small part of their time (`npm run bench -- batches`). */
const RUN_US_MAX = 5000;

type Inputs = Readonly<Record<string, Tensor>>;

/** Axes along which inputs can hold run after run: the first of size 1 that the file leaves open, wherever it is called so; else the first of all. */
export function batchAxes(
  descriptions: readonly ValueDescription[],
  inputs: Inputs,
): Readonly<Record<string, number>> | undefined {
  const open = descriptions.flatMap(({ name, dims }) =>
    dims.filter((dim, axis) => typeof dim !== 'number' && inputs[name]?.dims[axis] === 1),
  );
  const axisOf = ({ dims }: ValueDescription): number => (open.length > 0 ? dims.indexOf(open[0] as string) : 0);
  const axes = descriptions.map((each) => [each.name, axisOf(each)] as const).filter(([, axis]) => axis >= 0);
  const isOne = axes.length > 0 && axes.every(([name, axis]) => inputs[name]?.dims[axis] === 1);
  return isOne ? Object.fromEntries(axes) : undefined;
}

/**
 * What programs for several runs are to be made for: undefined where they may not pay, or were asked for before. `isForThread`: whether another
 * thread would make them.
 */
export function batchesToMake(
  single: LoadedProgram,
  descriptions: readonly ValueDescription[],
  inputs: Inputs,
  isForThread: () => boolean,
  nowUs: number,
): Batches | undefined {
  const axes = single.batches?.axes ?? batchAxes(descriptions, inputs);
  if (!axes || !isForThread()) return undefined;
  single.batches ??= new Batches(single, axes, inputs);
  return single.batches.want(nowUs) ? single.batches : undefined;
}

export class Batches implements Batching {
  /** By name; inputs that have none are the same for all runs. */
  readonly axes: Readonly<Record<string, number>>;
  readonly #single: LoadedProgram;
  /** Those inputs, as the programs were asked for with. */
  readonly #shared: Inputs;
  readonly #programs = new Map<number, LoadedProgram>();
  #isAsked = false;

  constructor(single: LoadedProgram, axes: Readonly<Record<string, number>>, inputs: Inputs) {
    this.#single = single;
    this.axes = axes;
    const shared = Object.entries(inputs).filter(([name]) => axes[name] === undefined);
    this.#shared = Object.fromEntries(
      shared.map(([name, { data, ...rest }]) => [name, { ...rest, data: data.slice() }]),
    );
  }

  /** Programs are worth making: true once. */
  want(nowUs: number): boolean {
    const { work } = this.#single;
    if (this.#isAsked || work.isUnknown) return false;
    this.#isAsked = true;
    return work.meanUs(nowUs) <= RUN_US_MAX;
  }

  /** The shapes of as many runs together. */
  inputsOf(runs: number, inputs: Inputs): Inputs {
    const all = Object.entries(inputs).map(([name, { dims, ...rest }]) => {
      const axis = this.axes[name];
      return [name, { ...rest, dims: axis === undefined ? dims : dims.with(axis, runs) }] as const;
    });
    return Object.fromEntries(all);
  }

  /** Takes a program for several runs. */
  add(program: LoadedProgram): void {
    const {
      outputs,
      program: { batch },
    } = program;
    const isAlike = outputs.every(({ dims }, place) => sameDims(dims, this.#single.outputs[place]?.dims ?? []));
    if (batch && isAlike) this.#programs.set(batch.runs, program);
  }

  /** Whether the run may be computed with others. */
  of(inputs: Inputs): Batching | undefined {
    if (this.#programs.size === 0) return undefined;
    const isSame = Object.entries(this.#shared).every(([name, { data }]) =>
      data.every((item, place) => Object.is(item, inputs[name]?.data[place])),
    );
    return isSame ? this : undefined;
  }

  /** Until it was tried a few times, a program is taken to be as quick as it has to be. */
  sizesAt(nowUs: number): readonly BatchTime[] {
    const oneUs = this.#single.work.meanUs(nowUs);
    const sizes: BatchTime[] = [];
    for (const [runs, { canBegin, work }] of this.#programs)
      if (canBegin) sizes.push({ runs, us: work.isSettled ? work.meanUs(nowUs) : payingUs(runs, oneUs) });
    return sizes;
  }

  programFor(runs: number): LoadedProgram | undefined {
    return this.#programs.get(runs);
  }
}
