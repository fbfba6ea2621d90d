/**
 * New forms of triggers that see the messages of those that run, and whose results go nowhere but into a comparison. They come
 * after the answer, in the lowest class, with a short queue of their own, so that they hold nobody up.
 */
import type { Message, Outcome, Pipeline } from '../triggers/pipeline.ts';
import { type Compared, Comparison, type Handled } from './comparison.ts';

/** Messages that may wait; further ones are skipped and counted. */
const WAITING_MAX = 16;

export class Shadows {
  readonly #shadows = new Map<string, Shadow>();
  readonly #retired = new Set<Promise<void>>();

  /** The trigger's pipeline, followed by the new form of the same trigger whenever there is one. */
  follow(trigger: string, pipeline: Pipeline): Pipeline {
    return {
      ...pipeline,
      handle: async (message) => {
        const begunMs = performance.now();
        try {
          const outcome = await pipeline.handle(message);
          this.#shadows.get(trigger)?.take(message, handled(outcome, begunMs));
          return outcome;
        } catch (error) {
          this.#shadows.get(trigger)?.take(message, { error: (error as Error).message });
          throw error;
        }
      },
    };
  }

  start(trigger: string, pipeline: Pipeline): void {
    this.stop(trigger);
    this.#shadows.set(trigger, new Shadow(pipeline));
  }

  stop(trigger: string): void {
    const working = this.#shadows.get(trigger)?.end();
    this.#shadows.delete(trigger);
    if (!working) return;
    this.#retired.add(working);
    void working.finally(() => this.#retired.delete(working));
  }

  /** By trigger. */
  read(): Map<string, Compared> {
    return new Map([...this.#shadows].map(([name, { comparison }]) => [name, comparison.read()]));
  }

  /** Resolves when those that were stopped have finished their last message. */
  async quiet(): Promise<void> {
    await Promise.all(this.#retired);
  }
}

class Shadow {
  readonly comparison = new Comparison();
  readonly #pipeline: Pipeline;
  #queue: { message: Message; before: Handled }[] = [];
  #working: Promise<void> | undefined;

  constructor(pipeline: Pipeline) {
    this.#pipeline = pipeline;
  }

  take(message: Message, before: Handled): void {
    if (this.#queue.length >= WAITING_MAX) {
      this.comparison.skip();
      return;
    }
    this.#queue.push({ message, before });
    this.#working ??= this.#work().finally(() => {
      this.#working = undefined;
    });
  }

  end(): Promise<void> | undefined {
    this.#queue = [];
    return this.#working;
  }

  async #work(): Promise<void> {
    for (let next = this.#queue.shift(); next; next = this.#queue.shift())
      this.comparison.add(next.before, await this.#handle(next.message));
  }

  async #handle(message: Message): Promise<Handled> {
    const begunMs = performance.now();
    try {
      return handled(await this.#pipeline.handle(message), begunMs);
    } catch (error) {
      return { error: (error as Error).message };
    }
  }
}

function handled({ results, waitMs }: Outcome, begunMs: number): Handled {
  return { results, ms: Math.max(0, performance.now() - begunMs - waitMs) };
}
