/** One stage of a trigger at work: inputs prepared, the model run, its outputs read. */
import type { Model, RunOptions, RunResult } from '../engine/model.ts';
import { isRecyclable } from '../engine/result-memory.ts';
import { isLate } from '../engine/run-error.ts';
import type { Tensor } from '../engine/tensor.ts';
import { type EngineValue, isHostValue } from '../engine/value.ts';
import type { Placement } from '../media/resize.ts';
import { constantTensor, initialTensor, prepareInput, type StageSource } from './inputs.ts';
import { postSteps } from './post/index.ts';
import type { Stage, Trigger } from './schema.ts';
import { checkStage, type EarlierOutputs, feedsOf, stagePlace } from './stage-check.ts';

export interface LoadedModel {
  readonly model: Model;
  readonly version: number;
  readonly labels?: readonly string[];
}

/** What a stream remembers of one stage. */
export interface StageState {
  /** Recurrent inputs of the next run, by input name. */
  readonly recurrent: Readonly<Record<string, Tensor>>;
  readonly post?: unknown;
}

export interface StageRun extends RunResult {
  /** The stage's model, or the smaller one. */
  readonly answeredBy: { readonly name: string; readonly loaded: LoadedModel };
  readonly result: unknown;
  readonly state: StageState;
  /** What is needed no more when the result, the outputs and the new state are taken: see recycle. */
  readonly spent: readonly Tensor[];
}

export interface RunningStage {
  readonly stage: Stage;
  readonly loaded: LoadedModel;
  /** `state` is undefined at a stream's start. */
  run(source: StageSource, state: StageState | undefined, options: RunOptions): Promise<StageRun>;
}

/** Throws an Error that names the trigger and the stage when the model cannot be fed this way. */
export function createStage(
  trigger: Trigger,
  stage: Stage,
  loaded: LoadedModel,
  earlier: EarlierOutputs,
): RunningStage {
  const { model, labels } = loaded;
  checkStage(trigger, stage, model, earlier);
  const place = stagePlace(trigger, stage);
  const feeds = feedsOf(trigger, stage, model);
  const recurrentFeeds = feeds.filter(({ given }) => given.recurrent !== undefined);
  const preparedFeeds = feeds.filter(({ given }) => given.recurrent === undefined && given.constant === undefined);
  // The same at every run: what is constant, and what a stream begins with.
  const constants: Record<string, Tensor> = {};
  for (const feed of feeds) if (feed.given.constant !== undefined) constants[feed.input.name] = constantTensor(feed);
  const initial: Record<string, Tensor> = {};
  for (const feed of recurrentFeeds) initial[feed.input.name] = initialTensor(feed);
  const post = postOf(stage);

  async function run(source: StageSource, state: StageState | undefined, options: RunOptions): Promise<StageRun> {
    const inputs: Record<string, Tensor> = { ...constants, ...(state?.recurrent ?? initial) };
    const made: Tensor[] = [];
    let placement: Placement | undefined;
    for (const feed of preparedFeeds) {
      const prepared = prepareInput(feed, source);
      inputs[feed.input.name] = prepared.tensor;
      placement ??= prepared.placement;
      if (prepared.isNew) made.push(prepared.tensor);
    }
    try {
      const done = await model.run(inputs, options);
      const { outputs } = done;
      const recurrent = Object.fromEntries(
        recurrentFeeds.map(({ input, given }) => [input.name, remembered(outputs, given.recurrent as string)]),
      );
      const read = post?.({ outputs, inputs, placement, labels, window: source.window, state: state?.post });
      const answeredBy = { name: stage.model, loaded };
      const before = Object.values(state?.recurrent ?? {});
      const spent = spentOf([...before, ...made, ...Object.values(outputs)], recurrent);
      return { ...done, answeredBy, result: read?.result, state: { recurrent, post: read?.state }, spent };
    } catch (cause) {
      throw new Error(`${place}: ${(cause as Error).message}`, { cause });
    }
  }

  return { stage, loaded, run };
}

/** The stage with another one's model, which takes its place when an answer would come too late. */
export function withSmaller(own: RunningStage, smaller: RunningStage): RunningStage {
  return {
    ...own,
    async run(...asked) {
      try {
        return await own.run(...asked);
      } catch (error) {
        if (!isLate(error)) throw error;
        return smaller.run(...asked);
      }
    },
  };
}

/** What a stream takes along. NaN would come back with every later message. */
function remembered(outputs: Readonly<Record<string, EngineValue>>, name: string): Tensor {
  const tensor = outputs[name];
  if (!tensor || isHostValue(tensor)) throw new Error(`output "${name}": expected a tensor of numbers to feed back`);
  if ((tensor.data as Float32Array).some(Number.isNaN))
    throw new Error(`output "${name}", which the stream begins its next run with, holds values that are no numbers`);
  return tensor;
}

/** All but what the stream's next run begins with: a model may give one tensor under two names. */
function spentOf(values: readonly EngineValue[], recurrent: Readonly<Record<string, Tensor>>): Tensor[] {
  const kept = new Set(Object.values(recurrent).flatMap((tensor) => (isRecyclable(tensor) ? tensor.data.buffer : [])));
  return values.filter(isRecyclable).filter(({ data }) => !kept.has(data.buffer));
}

/** The stage's post-processing step with its options filled in. */
function postOf({ post }: Stage) {
  if (!post) return undefined;
  const { step: name, ...given } = post;
  const step = postSteps[name];
  const options = step?.options.parse(given);
  return (input: Parameters<NonNullable<typeof step>['apply']>[0]) => step?.apply(input, options);
}
