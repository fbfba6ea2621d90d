/**
 * Two forms of a trigger on the same messages: how often they agree, how far their numbers drift apart, how long they take,
 * what fails. No I/O and no clock.
 */
import type { Result } from '../triggers/encode.ts';
import { readSafetensors } from '../triggers/safetensors.ts';

/** Numbers agree when they differ by at most this share of the larger one, or this much. */
const TOLERANCE = { share: 0.05, absolute: 0.01 };
/** Numbers of results that are followed; others count for agreement only. */
const PATHS_MAX = 200;
const NUMBERS_MAX = 10_000;

export interface Compared {
  /** Messages that both have handled. */
  readonly messages: number;
  readonly agreed: number;
  readonly failuresBefore: number;
  readonly failuresNew: number;
  /** Messages that the new form did not see because the node was busy. */
  readonly skipped: number;
  /** Mean time for a message, without waiting. */
  readonly beforeMs: number;
  readonly newMs: number;
  /** The largest shift of a number's mean, in standard deviations of what it was before. */
  readonly drift: number;
}

/** What one form made of a message. `ms`: time that was worked on it. */
export type Handled = { readonly results: readonly Result[]; readonly ms: number } | { readonly error: string };

interface Moments {
  count: number;
  mean: number;
  squares: number;
  newMean: number;
}

export class Comparison {
  #messages = 0;
  #agreed = 0;
  #failuresBefore = 0;
  #failuresNew = 0;
  #skipped = 0;
  #beforeMs = 0;
  #newMs = 0;
  readonly #moments = new Map<string, Moments>();

  skip(): void {
    this.#skipped++;
  }

  add(before: Handled, after: Handled): void {
    this.#messages++;
    if ('error' in before) this.#failuresBefore++;
    if ('error' in after) this.#failuresNew++;
    // What both refuse they agree on.
    if ('error' in before || 'error' in after) {
      if ('error' in before && 'error' in after) this.#agreed++;
      return;
    }
    this.#beforeMs += before.ms;
    this.#newMs += after.ms;
    const [old, young] = [before.results.map(contentOf), after.results.map(contentOf)];
    if (this.#follow('', old, young)) this.#agreed++;
  }

  read(): Compared {
    const timed = Math.max(1, this.#messages - Math.max(this.#failuresBefore, this.#failuresNew));
    const shifts = [...this.#moments.values()].map(shiftOf);
    return {
      ...{ messages: this.#messages, agreed: this.#agreed, skipped: this.#skipped },
      ...{ failuresBefore: this.#failuresBefore, failuresNew: this.#failuresNew },
      ...{ beforeMs: this.#beforeMs / timed, newMs: this.#newMs / timed, drift: Math.max(0, ...shifts) },
    };
  }

  /** Whether two values agree; notes their numbers. Elements of lists share a path. */
  #follow(path: string, before: unknown, after: unknown): boolean {
    if (typeof before === 'number' && typeof after === 'number') {
      this.#note(path, before, after);
      const larger = Math.max(Math.abs(before), Math.abs(after));
      return (
        Object.is(before, after) || Math.abs(before - after) <= Math.max(TOLERANCE.absolute, TOLERANCE.share * larger)
      );
    }
    if (Array.isArray(before) && Array.isArray(after))
      return all(
        before.slice(0, after.length).map((value, index) => this.#follow(`${path}[]`, value, after[index])),
        before.length === after.length,
      );
    if (isObject(before) && isObject(after)) {
      const keys = Object.keys(before);
      const same = keys.length === Object.keys(after).length && keys.every((key) => Object.hasOwn(after, key));
      return all(
        keys.map((key) => this.#follow(`${path}.${key}`, before[key], after[key])),
        same,
      );
    }
    return before === after;
  }

  /** Welford's running mean and variance (Technometrics 4, 1962). */
  #note(path: string, before: number, after: number): void {
    if (!Number.isFinite(before) || !Number.isFinite(after)) return;
    let found = this.#moments.get(path);
    if (!found) {
      if (this.#moments.size >= PATHS_MAX) return;
      found = { count: 0, mean: 0, squares: 0, newMean: 0 };
      this.#moments.set(path, found);
    }
    found.count++;
    const delta = before - found.mean;
    found.mean += delta / found.count;
    found.squares += delta * (before - found.mean);
    found.newMean += (after - found.newMean) / found.count;
  }
}

/** A number that hardly varies is measured by its tolerance instead. */
function shiftOf({ count, mean, squares, newMean }: Moments): number {
  const deviation = Math.sqrt(squares / count);
  const least = Math.max(TOLERANCE.absolute, TOLERANCE.share * Math.abs(mean));
  return Math.abs(newMean - mean) / Math.max(deviation, least);
}

function all(agreements: readonly boolean[], rest: boolean): boolean {
  return rest && agreements.every(Boolean);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** A result without what is bound to differ: who answered, and how long it took. */
function contentOf({ topic, payload }: Result): unknown {
  try {
    const { meta: _, ...rest } = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(payload));
    return { topic, ...rest };
  } catch {
    const { tensors } = readSafetensors(payload);
    const values = Object.entries(tensors).map(([name, { dims, data }]) => [
      name,
      { dims, data: Array.from(data.subarray(0, NUMBERS_MAX) as ArrayLike<number | bigint>, Number) },
    ]);
    return { topic, ...Object.fromEntries(values) };
  }
}
