/**
 * A trigger at work: message in, results out. It opens nothing and has no clock: time comes with the messages.
 * A message passes decode.ts → window.ts → chain.ts (stage by stage, region by region) → encode.ts.
 */
import type { RunOptions } from '../engine/model.ts';
import { recycle } from '../engine/result-memory.ts';
import { isLate } from '../engine/run-error.ts';
import { type ChainState, createChain } from './chain.ts';
import { createDecoder, type Decoded } from './decode.ts';
import { createEncoder, type Result } from './encode.ts';
import { FATES_MAX } from './fate.ts';
import type { StageSource } from './inputs.ts';
import { priorities, type Trigger } from './schema.ts';
import type { LoadedModel } from './stage.ts';
import { createStreams } from './streams.ts';
import { parseFilter } from './topic-filter.ts';
import { slide, type WindowState } from './window.ts';

export interface Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  /** Milliseconds since the epoch. */
  readonly receivedAt: number;
  /** For the results. */
  readonly traceparent?: string | undefined;
}

export interface Outcome {
  /** Often empty: a condition was false, or a window is not complete yet. */
  readonly results: readonly Result[];
  /** Why a result was withheld, or a message skipped. */
  readonly dropped?: string;
  /** How long all runs for the message waited, before they began or set aside, in milliseconds. */
  readonly waitMs: number;
  /** How often they were set aside for more urgent ones. */
  readonly preemptions: number;
}

export interface Pipeline {
  /** The trigger's class: 0 safety … 3 background. */
  readonly priority: number;
  /** What may wait of its results while they cannot be delivered. */
  readonly keep?: Trigger['output']['keep'];
  /**
   * Messages of one topic are handled one after the other, in the order of the calls; those of different topics may
   * interleave. Rejects with an Error for a message that cannot be answered. When it could not even be decoded, its
   * stream is as if it had never come; when something failed later, the stream begins anew with the next message, so
   * that no sample can spoil a stream for good.
   */
  handle(message: Message): Promise<Outcome>;
}

export interface PipelineContext {
  /** Name of this node, for the results. */
  readonly node: string;
  /** Throws an Error when there is no such model. Asked once for each stage, when the pipeline is made. */
  readonly models: (name: string) => LoadedModel;
}

/** What a stream remembers between messages. */
interface StreamState {
  readonly window?: WindowState;
  readonly chain: ChainState;
  /** Times of the latest results, oldest first, at most `rate.max`. */
  readonly sentAt: readonly number[];
  readonly lastAt: number;
}

type Source = Omit<StageSource, 'earlier'>;

/** Throws an Error that names the trigger, the stage and what its model wants when they do not fit together. */
export function createPipeline(trigger: Trigger, context: PipelineContext): Pipeline {
  const filter = parseFilter(trigger.topic);
  const decode = createDecoder(trigger.decode);
  const chain = createChain(trigger, context.models);
  const encode = createEncoder(trigger, filter);
  const streams = createStreams<StreamState>();

  return {
    priority: priorities.indexOf(trigger.priority),
    keep: trigger.output.keep,
    async handle(message) {
      const levels = filter.match(message.topic);
      if (!levels) throw new Error(`topic "${message.topic}" does not match the trigger's "${trigger.topic}"`);
      const answered = await streams.run(message.topic, async (state) => {
        const decoded = await decode(message.payload);
        try {
          return await answer(message, decoded, levels, state);
        } catch (error) {
          const failure = error instanceof Error ? error : new Error(String(error));
          return [{ chain: {}, sentAt: state?.sentAt ?? [], lastAt: message.receivedAt }, failure];
        }
      });
      if (answered instanceof Error) throw answered;
      return answered;
    },
  };

  async function answer(
    { topic, receivedAt, traceparent }: Message,
    { body = null, id, content }: Decoded,
    levels: Readonly<Record<string, string>>,
    before: StreamState | undefined,
  ): Promise<[StreamState, Outcome | Error]> {
    const gapMs = trigger.window?.gapMs ?? Number.POSITIVE_INFINITY;
    const continued = before && receivedAt - before.lastAt <= gapMs ? before : undefined;
    const { sources, window } = sourcesOf(trigger, content, continued?.window);
    const message = { topic, receivedAt, body, id: id ?? null };
    let state: ChainState = continued?.chain ?? {};
    let sentAt = before?.sentAt ?? [];
    let dropped: string | undefined;
    let [waitMs, preemptions] = [0, 0];
    const results: Result[] = [];
    for (const source of sources) {
      const scope = { topic: levels, message, ...(source.window && { window: source.window }) };
      const run = await chain.run(source, scope, state, runOptions(trigger, receivedAt)).catch((error: Error) => error);
      if (run instanceof Error) {
        if (trigger.late !== 'skip' || !isLate(run)) throw run;
        dropped = run.message;
        continue;
      }
      state = run.state;
      waitMs += run.fates.reduce((sum, { setAsideMs }) => sum + setAsideMs, run.queueMs);
      preemptions += run.fates.reduce((sum, fate) => sum + fate.preemptions, 0);
      const meta = {
        trigger: trigger.name,
        node: context.node,
        models: run.models,
        queueMs: microseconds(run.queueMs),
        runMs: microseconds(run.runMs),
        ...(trigger.output.account && { runs: run.fates.slice(0, FATES_MAX) }),
        receivedAt,
        id,
        window: source.window && { start: source.window.start, length: source.window.length },
        traceparent,
      };
      const result = encode({ scope: run.scope, levels, meta, outputs: run.outputs });
      recycle(run.spent);
      if (!result) continue;
      const room = roomFor(trigger, sentAt, receivedAt);
      if (!room) dropped = `more than ${trigger.rate?.max} results in ${trigger.rate?.perMs} ms`;
      else {
        sentAt = room;
        results.push(result);
      }
    }
    return [
      { window, chain: state, sentAt, lastAt: receivedAt },
      { results, dropped, waitMs, preemptions },
    ];
  }
}

/** The message itself, or the windows of its stream that it completes. */
function sourcesOf(
  { decode, window: shape }: Trigger,
  content: Decoded['content'],
  state: WindowState | undefined,
): { sources: Source[]; window?: WindowState } {
  if (!shape || content.kind !== 'numbers') return { sources: [{ content }] };
  const { length, hop = length, context } = shape;
  const rate = shape.rate ?? (decode.format === 'audio' ? decode.rate : 1);
  const slid = slide({ length, hop, context }, state, content.tensor);
  const sources = slid.windows.map(({ start, tensor }) => ({
    content: { kind: 'numbers', tensor } as const,
    // Where windows overlap, only the last `hop` samples are new.
    window: { start: start + length - hop, length: hop, rate },
  }));
  return { sources, window: slid.state };
}

function runOptions({ priority, deadlineMs, tenant }: Trigger, receivedAt: number): RunOptions {
  return {
    ...{ priority, tenant },
    deadlineMs: deadlineMs === undefined ? undefined : receivedAt + deadlineMs,
  };
}

/** The times to remember when a result may leave now, or undefined when `rate.max` left within the last `rate.perMs`. */
function roomFor({ rate }: Trigger, sentAt: readonly number[], now: number): readonly number[] | undefined {
  if (!rate) return sentAt;
  // A time that is still to come was taken before the clock was set back.
  const recent = sentAt.filter((time) => time <= now && now - time < rate.perMs);
  return recent.length < rate.max ? [...recent, now] : undefined;
}

/** Milliseconds with three decimals: more is noise. */
function microseconds(ms: number): number {
  return Math.round(ms * 1000) / 1000;
}
