/** New forms that a simulated node compares: a message a second, and agreement as good as the versions are. */
import type { Compared } from '../../runtime/node/comparison.ts';
import type { Effect, NodeState } from '../../runtime/node/node-state.ts';
import { describeTrials } from '../../runtime/node/trials.ts';
import { qualityOf } from './quality.ts';

/** Those of one process. */
export class SimTrials {
  readonly #trials = new Map<string, { since: number; fails: boolean; differs: boolean }>();

  get size(): number {
    return this.#trials.size;
  }

  start({ name, models }: Effect & { type: 'startTrial' }, state: NodeState, now: number): void {
    const slots = Object.values(models).flatMap((id) => state.models[id] ?? []);
    const qualities = slots.map(({ model }) => qualityOf(model));
    const [fails, differs] = [qualities.includes('fails messages'), qualities.includes('answers otherwise')];
    this.#trials.set(name, { since: now, fails, differs });
  }

  stop(name: string): void {
    this.#trials.delete(name);
  }

  /** As they are reported. */
  describe(state: NodeState, now: number): { trials?: ReturnType<typeof describeTrials> } {
    const rest = { failuresBefore: 0, skipped: 0, beforeMs: 1, newMs: 1, drift: 0 };
    const compared = [...this.#trials].map(([name, { since, fails, differs }]): [string, Compared] => {
      const messages = Math.floor((now - since) / 1_000);
      return [name, { ...rest, messages, agreed: fails || differs ? 0 : messages, failuresNew: fails ? messages : 0 }];
    });
    const trials = describeTrials(state, new Map(compared));
    return trials.length > 0 ? { trials } : {};
  }
}
