/** What a profile says: the most expensive operators, sums by kind of operator, and a picture of the whole run. */
import type { Profile } from './profile.ts';
import type { Pass, Span } from './spans.ts';

/** All that one node did with one kernel operation in a pass; rounds of a loop and bands of rows (compile/bands.ts) each count. */
export interface OperatorTime {
  readonly node: string;
  /** The ONNX operator; '' where the node is none of the file's. */
  readonly operator: string;
  /** The kernel operation with what was fused behind it; `JavaScript` for what no kernel does. */
  readonly operation: string;
  readonly algorithm: string;
  readonly count: number;
  readonly ms: number;
  /** Part of the sum, 0 to 1. */
  readonly share: number;
  /** Absent where nothing is multiplied and summed. By the definition: Winograd's may be above the machine's peak. */
  readonly gflops?: number;
  readonly ofPeak?: number;
  readonly bytes: number;
}

export interface OperatorTotal {
  readonly operator: string;
  readonly count: number;
  readonly ms: number;
  readonly share: number;
  readonly gflops?: number;
  readonly ofPeak?: number;
}

export interface ProfileReport {
  readonly model: string;
  readonly build: string;
  readonly peakGflops: number;
  readonly passes: number;
  /** With compilation, ours and V8's. */
  readonly firstMs: number;
  /** The quickest run, which the trace shows. */
  readonly bestMs: number;
  /** Of all that follows, each the least of all runs. */
  readonly sumMs: number;
  /** Inputs and outputs of programs, copied. */
  readonly copiesMs: number;
  readonly arenaBytes: number;
  readonly weightBytes: number;
  /** The most expensive first. */
  readonly operators: readonly OperatorTime[];
  readonly totals: readonly OperatorTotal[];
}

interface Sum {
  readonly span: Span;
  count: number;
  ms: number;
  operations: number;
}

/** Programs are their nodes. */
function isCounted({ kind }: Span): boolean {
  return kind === 'node' || kind === 'host' || kind === 'control';
}

function sumBy({ best, leastMs }: Profile, label: (span: Span) => string): Sum[] {
  const sums = new Map<string, Sum>();
  best.spans.forEach((span, index) => {
    if (!isCounted(span)) return;
    const sum = sums.get(label(span)) ?? { span, count: 0, ms: 0, operations: 0 };
    sums.set(label(span), sum);
    sum.count++;
    sum.ms += leastMs[index] as number;
    sum.operations += span.work?.operations ?? 0;
  });
  return [...sums.values()].sort((a, b) => b.ms - a.ms);
}

/** Sums up the runs. */
export function reportOf(profile: Profile): ProfileReport {
  const { best, first, leastMs, peakGflops, ...rest } = profile;
  const copiesMs = best.spans.reduce(
    (sum, { kind }, index) => sum + (kind === 'program' ? (leastMs[index] as number) : 0),
    0,
  );
  const counted = sumBy(profile, ({ name, work }) => `${name}\n${work?.operation}`);
  const sumMs = counted.reduce((sum, { ms }) => sum + ms, copiesMs);
  const share = (ms: number): number => (sumMs > 0 ? ms / sumMs : 0);
  const speed = ({ operations, ms }: Sum): { gflops?: number; ofPeak?: number } => {
    if (operations === 0 || ms === 0) return {};
    const gflops = operations / ms / 1e6;
    return { gflops, ofPeak: gflops / peakGflops };
  };
  const operators = counted.map((sum) => ({
    node: sum.span.name,
    operator: sum.span.operator ?? '',
    operation: sum.span.work?.operation ?? 'JavaScript',
    algorithm: sum.span.work?.algorithm ?? (sum.span.kind === 'control' ? 'graphs inside' : ''),
    ...{ count: sum.count, ms: sum.ms, share: share(sum.ms), ...speed(sum) },
    bytes: (sum.span.work?.bytes ?? 0) * sum.count,
  }));
  const totals = sumBy(profile, ({ operator = '' }) => operator).map((sum) => ({
    operator: sum.span.operator ?? '',
    ...{ count: sum.count, ms: sum.ms, share: share(sum.ms), ...speed(sum) },
  }));
  return { ...rest, peakGflops, firstMs: first.ms, bestMs: best.ms, sumMs, copiesMs, operators, totals };
}

/** One entry of the Trace Event Format: a slice (X, times in microseconds), or the name of a process or thread (M). */
export interface TraceEvent {
  readonly name: string;
  readonly ph: 'X' | 'M';
  readonly pid: number;
  readonly tid: number;
  readonly cat?: string;
  readonly ts?: number;
  readonly dur?: number;
  readonly args?: object;
}

const PROCESS = 1;

function slices({ ms, spans }: Pass, tid: number): TraceEvent[] {
  const whole = { name: 'run', ph: 'X', pid: PROCESS, tid, cat: 'run', ts: 0, dur: ms * 1000 } as const;
  return [
    whole,
    ...spans.map(({ kind, name, startMs, ms, operator, work }): TraceEvent => {
      const title = kind === 'kernel' || kind === 'program' ? name : [operator, name].filter(Boolean).join(' ');
      const slice = { ph: 'X', pid: PROCESS, tid, cat: kind, ts: startMs * 1000, dur: ms * 1000 } as const;
      return { name: kind === 'compile' ? `compile from ${title}` : title, ...slice, ...(work ? { args: work } : {}) };
    }),
  ];
}

/**
 * The first pass and the quickest, a thread each, in the JSON object form of the Trace Event Format, which Perfetto
 * (ui.perfetto.dev) and chrome://tracing open.
 */
export function traceOf({ model, build, first, best }: Profile): {
  readonly displayTimeUnit: 'ms';
  readonly traceEvents: readonly TraceEvent[];
} {
  const named = (name: string, tid: number, text: string): TraceEvent => ({
    ...{ name, ph: 'M', pid: PROCESS, tid },
    args: { name: text },
  });
  return {
    displayTimeUnit: 'ms',
    traceEvents: [
      named('process_name', 0, `${model} (${build} kernels)`),
      named('thread_name', 1, 'quickest run'),
      ...slices(best, 1),
      named('thread_name', 2, 'first run'),
      ...slices(first, 2),
    ],
  };
}
