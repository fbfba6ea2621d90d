/** A trigger's stages, one after the other, for one message, window or picture. */
import type { RunOptions } from '../engine/model.ts';
import { recycle } from '../engine/result-memory.ts';
import type { Tensor, ValueDescription } from '../engine/tensor.ts';
import { type EngineValue, isHostValue } from '../engine/value.ts';
import { type Image, PIXELS_MAX } from '../media/image.ts';
import { givenVariables, hasVariable } from './checks.ts';
import { compileExpression, type Expression, type Scope } from './expressions.ts';
import { fateOf, type RunFate } from './fate.ts';
import type { StageSource } from './inputs.ts';
import { cutOut, turned } from './picture.ts';
import type { Trigger } from './schema.ts';
import {
  createStage,
  type LoadedModel,
  type RunningStage,
  type StageRun,
  type StageState,
  withSmaller,
} from './stage.ts';

/** What a stream remembers, by stage. */
export type ChainState = Readonly<Record<string, StageState>>;

export interface ChainRun {
  /** The given scope with every stage's result under its name. */
  readonly scope: Scope;
  /** Outputs of the stages without `each`, by stage. */
  readonly outputs: ReadonlyMap<string, Readonly<Record<string, EngineValue>>>;
  readonly state: ChainState;
  /** What nobody needs any more when the answer is written: see recycle. */
  readonly spent: readonly Tensor[];
  /** Sums over all runs, in milliseconds. */
  readonly queueMs: number;
  readonly runMs: number;
  /** Who answered, by stage: a model may change to another engine, or be too slow. */
  readonly models: readonly { readonly name: string; readonly version: number; readonly engine: string }[];
  readonly fates: readonly RunFate[];
}

export interface Chain {
  run(source: Omit<StageSource, 'earlier'>, scope: Scope, state: ChainState, options: RunOptions): Promise<ChainRun>;
}

/** Regions that one stage may be run for. */
const REGIONS_MAX = 1000;
/** Pixels of all regions together: as many as the largest picture. Regions may overlap, and are held at one time. */
const REGION_PIXELS_MAX = PIXELS_MAX;

/** Throws an Error that names trigger, stage and reason. */
export function createChain(trigger: Trigger, models: (name: string) => LoadedModel): Chain {
  const stages: RunningStage[] = [];
  const turns = new Map<string, Expression>();
  const outputs = new Map<string, ValueDescription>();
  const known = givenVariables(trigger);
  for (const stage of trigger.stages) {
    const place = `trigger "${trigger.name}", stage "${stage.name}"`;
    const running = createStage(trigger, stage, findModel(models, stage.model, place), outputs);
    stages.push(running);
    const { smaller } = stage;
    if (smaller !== undefined) {
      const other = { ...stage, model: smaller };
      const instead = createStage(trigger, other, findModel(models, smaller, place), outputs);
      stages[stages.length - 1] = withSmaller(running, instead);
    }
    if (stage.turn !== undefined) turns.set(stage.name, compileExpression(stage.turn, [...known, 'item', 'index']));
    if (stage.each !== undefined) continue;
    if (hasVariable(stage)) known.push(stage.name);
    for (const output of running.loaded.model.outputs) outputs.set(`${stage.name}.${output.name}`, output);
  }
  return {
    run: (source, scope, state, options) => runStages(stages, turns, source, scope, state, options),
  };
}

function findModel(models: (name: string) => LoadedModel, name: string, place: string): LoadedModel {
  try {
    return models(name);
  } catch (cause) {
    throw new Error(`${place}: model "${name}": ${(cause as Error).message}`, { cause });
  }
}

async function runStages(
  stages: readonly RunningStage[],
  turns: ReadonlyMap<string, Expression>,
  source: Omit<StageSource, 'earlier'>,
  given: Scope,
  state: ChainState,
  options: RunOptions,
): Promise<ChainRun> {
  const scope: Record<string, unknown> = { ...given };
  const outputs = new Map<string, Readonly<Record<string, EngineValue>>>();
  const earlier = new Map<string, Tensor>();
  const next: Record<string, StageState> = { ...state };
  // Two stages with the same `each` look at the same parts of the picture.
  const parts = new Map<string, Image[]>();
  const fates: RunFate[] = [];
  const spent: Tensor[] = [];
  const answeredBy = new Map<string, StageRun['answeredBy']>();
  let queueMs = 0;
  let runMs = 0;
  const note = (stage: string, run: StageRun): void => {
    queueMs += run.queueMs;
    runMs += run.runMs;
    answeredBy.set(stage, run.answeredBy);
    for (const account of run.accounts ?? []) fates.push(fateOf(stage, run.answeredBy.name, account));
  };
  for (const running of stages) {
    const { name, each } = running.stage;
    if (each === undefined) {
      const run = await running.run({ ...source, earlier }, state[name], options);
      outputs.set(name, run.outputs);
      for (const [output, value] of Object.entries(run.outputs))
        if (!isHostValue(value)) earlier.set(`${name}.${output}`, value);
      if (running.stage.post) scope[name] = run.result;
      next[name] = run.state;
      spent.push(...run.spent);
      note(name, run);
      continue;
    }
    const items = regionsOf(scope[each], name, each);
    const cut = parts.get(each) ?? cutAll(imageOf(source), items, name);
    parts.set(each, cut);
    const extended: object[] = [];
    for (const [index, item] of items.entries()) {
      const degrees = turns.get(name)?.evaluate({ ...scope, item, index }) ?? 0;
      const content = { kind: 'image', image: turned(cut[index] as Image, degrees) } as const;
      const run = await running.run({ content, earlier }, undefined, options);
      extended.push({ ...item, [name]: run.result ?? null });
      recycle(run.spent);
      note(name, run);
    }
    scope[each] = extended;
  }
  const models = stages.map(({ stage, loaded }) => {
    const { name, loaded: answering } = answeredBy.get(stage.name) ?? { name: stage.model, loaded };
    return { name, version: answering.version, engine: answering.model.engine };
  });
  return { scope, outputs, state: next, spent, queueMs, runMs, models, fates };
}

function regionsOf(value: unknown, stage: string, each: string): readonly object[] {
  if (!Array.isArray(value)) throw new Error(`stage "${stage}": expected "${each}" to give a list of regions`);
  if (value.length > REGIONS_MAX) {
    throw new Error(`stage "${stage}": expected at most ${REGIONS_MAX} regions in "${each}", got ${value.length}`);
  }
  return value;
}

function cutAll(image: Image, items: readonly object[], stage: string): Image[] {
  let pixels = 0;
  return items.map((item) => {
    const part = cutOut(image, item);
    pixels += part.width * part.height;
    if (pixels > REGION_PIXELS_MAX)
      throw new Error(`stage "${stage}": expected regions of at most ${REGION_PIXELS_MAX} pixels together, got more`);
    return part;
  });
}

/** The schema allows `each` for pictures only. */
function imageOf({ content }: Omit<StageSource, 'earlier'>): Image {
  if (content.kind === 'image') return content.image;
  throw new Error(`expected a picture, got ${content.kind}`);
}
