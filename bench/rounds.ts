/** Contenders in processes of their own, compared first and then timed in turns: A B C A B C …, so that noise meets all alike. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { compareAnswers } from './contenders/answers.ts';
import type { ContenderName, Job, Reply, Request, Sample, Tensors } from './contenders/contender.ts';
import { type Figures, figuresOf } from './statistics.ts';

const file = fileURLToPath(new URL('./contenders/process.ts', import.meta.url));
/** A contender that takes longer for one request is taken to hang. */
const REPLY_MS_MAX = 180_000;

export type Outcome =
  | { readonly figures: Figures; readonly inside?: Figures; readonly error: number; readonly cosine: number }
  /** Why this contender has no figures here. */
  | { readonly refused: string };

export interface RoundOptions {
  readonly rounds: number;
  /** Time for the host to compile what is hot, before anything counts. */
  readonly warmUpMs: number;
  /** How long a contender runs a case again and again in each of its turns, and how often at most. */
  readonly budgetMs: number;
  readonly runsMax: number;
}

/** How far an answer may be from the reference. */
export interface Bounds {
  /** Largest difference, relative to the largest number of the output. */
  readonly relativeMax: number;
  readonly cosineMin: number;
}

export class Contestant {
  readonly name: ContenderName;
  /** What the contender says about itself, once it has started. */
  about = '';
  #child: ChildProcess | undefined;

  constructor(name: ContenderName) {
    this.name = name;
  }

  /** Starts the process where it does not run (any more). Never rejects. */
  async request(request: Request): Promise<Reply> {
    try {
      const child = this.#child ?? (await this.#start());
      child.send(request);
      return await nextReply(child);
    } catch (error) {
      this.#child?.kill('SIGKILL');
      this.#child = undefined;
      return { kind: 'refused', message: error instanceof Error ? error.message : String(error) };
    }
  }

  async close(): Promise<void> {
    this.#child?.kill();
    this.#child = undefined;
  }

  async #start(): Promise<ChildProcess> {
    // The structured clone carries typed arrays as they are.
    const stdio = ['ignore', 'ignore', 'inherit', 'ipc'] as const;
    const child = fork(file, [this.name], { serialization: 'advanced', stdio: [...stdio], execArgv: [] });
    this.#child = child;
    const reply = await nextReply(child);
    if (reply.kind === 'ready') this.about = reply.about;
    return child;
  }
}

function nextReply(child: ChildProcess): Promise<Reply> {
  const { promise, resolve, reject } = Promise.withResolvers<Reply>();
  const timer = setTimeout(() => reject(new Error(`no answer within ${REPLY_MS_MAX / 1000} s`)), REPLY_MS_MAX);
  const onExit = (code: number | null) => reject(new Error(`the process ended with code ${code}`));
  child.once('message', resolve);
  child.once('exit', onExit);
  return promise.finally(() => {
    clearTimeout(timer);
    child.off('message', resolve);
    child.off('exit', onExit);
  });
}

/** The first contestant that answers is the reference: put the one first whose answers count. */
export async function runCase(
  contestants: readonly Contestant[],
  job: Job,
  bounds: Bounds,
  { rounds, warmUpMs, budgetMs, runsMax }: RoundOptions,
): Promise<Map<ContenderName, Outcome>> {
  const outcomes = new Map<ContenderName, Outcome>();
  const running: { contestant: Contestant; samples: Sample[]; error: number; cosine: number }[] = [];
  let reference: Tensors | undefined;
  for (const contestant of contestants) {
    const reply = await contestant.request({ kind: 'open', job });
    if (reply.kind === 'refused') outcomes.set(contestant.name, { refused: reply.message });
    if (reply.kind !== 'opened') continue;
    reference ??= reply.outputs;
    const { error, cosine } = compareAnswers(reply.outputs, reference);
    if (error <= bounds.relativeMax || cosine >= bounds.cosineMin)
      running.push({ contestant, samples: [], error, cosine });
    else
      outcomes.set(contestant.name, {
        refused: `its answer differs: relative error ${error.toExponential(1)}, cosine ${cosine.toFixed(5)}`,
      });
  }
  for (let round = 0; round < rounds; round++)
    for (const { contestant, samples } of running) {
      const reply = await contestant.request({ kind: 'turn', warmUpMs, budgetMs, runsMax });
      if (reply.kind === 'samples') samples.push(...reply.samples);
      else outcomes.set(contestant.name, { refused: reply.kind === 'refused' ? reply.message : 'no samples' });
    }
  for (const { contestant, samples, error, cosine } of running) {
    await contestant.request({ kind: 'close' });
    if (outcomes.has(contestant.name) || samples.length === 0) continue;
    const inside = samples.flatMap(({ insideMs }) => (insideMs === undefined ? [] : [insideMs]));
    const figures = figuresOf(samples.map(({ ms }) => ms));
    outcomes.set(contestant.name, {
      figures,
      inside: inside.length > 0 ? figuresOf(inside) : undefined,
      error,
      cosine,
    });
  }
  return outcomes;
}
