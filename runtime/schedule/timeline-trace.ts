/** A timeline for Perfetto (ui.perfetto.dev) and chrome://tracing: a thread for each core, and one for each class's waiting runs. */
import type { TraceEvent } from '../engine/profile-report.ts';
import { PRIORITIES } from './priorities.ts';
import { className, explainRun, placesOf, type TimelineRun } from './timeline.ts';

const [CORES, WAITING] = [1, 2];

/** In the JSON object form of the Trace Event Format; runs that wait are asynchronous events, as they overlap. */
export function timelineTrace(runs: readonly TimelineRun[]): { displayTimeUnit: 'ms'; traceEvents: readonly object[] } {
  const computed = runs.flatMap((run) => (run.account ? [{ run, account: run.account }] : []));
  const originUs = Math.min(...computed.map(({ account }) => account.submittedUs));
  const named = (name: TraceEvent['name'], pid: number, tid: number, text: string): TraceEvent => ({
    ...{ name, ph: 'M', pid, tid },
    args: { name: text },
  });
  const slices = computed.flatMap(({ run, account }) =>
    account.slices.flatMap(({ cores: on, fromUs, untilUs, ...args }) =>
      on.map((core): TraceEvent => {
        const at = { ts: fromUs - originUs, dur: untilUs - fromUs };
        return {
          name: `${run.request.model} ${run.request.id}`,
          ph: 'X',
          pid: CORES,
          tid: core,
          cat: className(run.request),
          ...at,
          args,
        };
      }),
    ),
  );
  const waiting = computed.flatMap(({ run, account: { submittedUs, endedUs } }) => {
    const about = {
      name: `${run.request.model} ${run.request.id}`,
      cat: className(run.request),
      pid: WAITING,
      id: run.request.id,
    };
    const tid = PRIORITIES.findIndex(({ name }) => name === about.cat);
    const args = { why: explainRun(run) };
    return [
      { ...about, tid, ph: 'b', ts: submittedUs - originUs, args },
      { ...about, tid, ph: 'e', ts: endedUs - originUs },
    ];
  });
  return {
    displayTimeUnit: 'ms',
    traceEvents: [
      named('process_name', CORES, 0, 'cores'),
      ...placesOf(computed).map(({ place, name }) => named('thread_name', CORES, place, name)),
      named('process_name', WAITING, 0, 'runs, from submission to end'),
      ...slices,
      ...waiting,
    ],
  };
}
