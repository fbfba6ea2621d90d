/** The table of `npm start`: a line a trigger. */
import type { Style } from '../../fleet/commands/command.ts';
import type { NodeView } from '../../fleet/controller/service.ts';
import type { Score } from './judge.ts';

export interface Progress extends Score {
  readonly node: string;
  readonly messages: number;
  readonly results: number;
  readonly failures: number;
  readonly latencyMsP50: number | null;
  readonly latencyMsP99: number | null;
  readonly lastResult: string | null;
}

const ANSWER_LENGTH_MAX = 44;

/** What the nodes report about each trigger beside what the judge found. */
export function progressOf(nodes: readonly NodeView[], scores: readonly Score[]): Progress[] {
  return scores.map((score) => {
    for (const { name, metrics } of nodes) {
      const found = metrics?.triggers.find((trigger) => trigger.name === score.trigger);
      if (found) return { ...score, ...found, node: name };
    }
    const nothing = { messages: 0, results: 0, failures: 0, latencyMsP50: null, latencyMsP99: null, lastResult: null };
    return { ...score, ...nothing, node: '–' };
  });
}

export function renderTable(progress: readonly Progress[], style: Style): string {
  const header = [
    'trigger',
    'node',
    'messages',
    'results',
    'right',
    'wrong',
    'missed',
    'p50',
    'p99',
    'failed',
    'last answer',
  ];
  return style.table(
    header,
    progress.map((line) => [
      style.bold(line.trigger),
      line.node,
      String(line.messages),
      String(line.results),
      line.right > 0 ? style.good(String(line.right)) : '0',
      line.wrong > 0 ? style.bad(String(line.wrong)) : '0',
      line.missed > 0 ? style.bad(String(line.missed)) : '0',
      milliseconds(line.latencyMsP50),
      milliseconds(line.latencyMsP99),
      line.failures > 0 ? style.bad(String(line.failures)) : '0',
      shorten(line.lastResult ?? '–'),
    ]),
  );
}

function milliseconds(value: number | null): string {
  return value === null ? '–' : `${value.toFixed(value < 10 ? 1 : 0)} ms`;
}

function shorten(text: string): string {
  return text.length <= ANSWER_LENGTH_MAX ? text : `${text.slice(0, ANSWER_LENGTH_MAX - 1)}…`;
}
