/** What a canary's comparison says: passed, failed, or not yet. */
import type { ReportedState } from '../../runtime/protocol/messages.ts';
import type { RolloutSpec } from './spec.ts';

export type Compare = NonNullable<RolloutSpec['compare']>;

export type Verdict =
  | { readonly state: 'open'; readonly details: string }
  | { readonly state: 'passed'; readonly details: string }
  | { readonly state: 'failed'; readonly details: string };

type Told = NonNullable<ReportedState['trials']>[number];

/** @param trials what the node says of this rollout: one entry a trigger that the new thing concerns there */
export function judge(compare: Compare, trials: readonly Told[]): Verdict {
  const broken = trials.find(({ state }) => state === 'failed');
  if (broken) return { state: 'failed', details: `trigger "${broken.trigger}": ${broken.error}` };
  const all = trials.flatMap(({ compared }) => compared ?? []);
  const sum = (of: (one: (typeof all)[number]) => number): number => all.reduce((total, one) => total + of(one), 0);
  const messages = sum((one) => one.messages);
  const disagreed = messages - sum((one) => one.agreed);
  const moreFailures = sum((one) => one.failuresNew) - sum((one) => one.failuresBefore);
  const worked = (of: (one: (typeof all)[number]) => number): number => sum((one) => of(one) * one.messages);
  const ratio =
    worked((one) => one.newMs) /
    Math.max(
      worked((one) => one.beforeMs),
      1e-9,
    );
  const drift = Math.max(0, ...all.map((one) => one.drift));
  const agreement = `${(100 * (1 - disagreed / Math.max(1, messages))).toFixed(1)}% of ${messages} messages agree`;
  const few = (share: number): number => share * Math.max(messages, compare.messages);
  // What cannot become right any more need not be waited for.
  if (disagreed > few(1 - compare.agreementMin))
    return { state: 'failed', details: `${agreement}, at least ${100 * compare.agreementMin}% must` };
  if (moreFailures > few(compare.failurePercentMax / 100))
    return {
      state: 'failed',
      details: `${moreFailures} of ${messages} messages more fail than before, at most ${compare.failurePercentMax}% may`,
    };
  if (messages < compare.messages)
    return { state: 'open', details: `${messages} of ${compare.messages} messages compared` };
  if (ratio > compare.latencyRatioMax)
    return {
      state: 'failed',
      details: `takes ${ratio.toFixed(2)} times as long, at most ${compare.latencyRatioMax} times is allowed`,
    };
  if (drift > compare.driftMax)
    return {
      state: 'failed',
      details: `a number's mean has moved by ${drift.toFixed(2)} standard deviations, at most ${compare.driftMax} are allowed`,
    };
  return { state: 'passed', details: `${agreement}, ${ratio.toFixed(2)} times the time, drift ${drift.toFixed(2)}` };
}
