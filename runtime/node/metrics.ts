/** Counters of one trigger, the latency of its last 1,000 messages, and what they ask of the node. */
import type { NodeLoad, TriggerMetrics } from '../protocol/messages.ts';
import { Meter } from '../schedule/measure.ts';
import { priorities } from '../triggers/schema.ts';
import type { Served } from './proof.ts';

const WINDOW = 1_000;

export interface TriggerCounter {
  message(nowMs: number): void;
  /** One message was answered, `ms` after it arrived, with so many results. */
  answered(ms: number, results: number, summary: string | undefined): void;
  /** How long a message waited, for the one before it or for a core, and how long the node worked on it. */
  computed(nowMs: number, waitMs: number, serviceMs: number): void;
  failed(error: string): void;
  dropped(count: number): void;
  /** Messages since the counter began. */
  served(): Served;
  read(): TriggerMetrics;
  load(nowMs: number): TriggerLoad;
}

interface TriggerLoad {
  readonly name: string;
  readonly perSecond: number;
  readonly serviceMs: number | null;
  readonly serviceMsSquared: number | null;
  /** In no order. */
  readonly waitsMs: Float64Array;
}

export function createCounter(name: string): TriggerCounter {
  const [latencies, waits] = [new Float64Array(WINDOW), new Float64Array(WINDOW)];
  let meter: Meter | undefined;
  let computed = 0;
  let answered = 0;
  const counts = { messages: 0, results: 0, failures: 0, dropped: 0 };
  let lastResult: string | null = null;
  let lastError: string | null = null;
  return {
    message(nowMs) {
      counts.messages++;
      meter ??= new Meter(nowMs * 1000);
      meter.arrived(nowMs * 1000);
    },
    answered(ms, results, summary) {
      latencies[answered++ % WINDOW] = ms;
      counts.results += results;
      if (summary !== undefined) lastResult = summary;
    },
    computed(nowMs, waitMs, serviceMs) {
      meter?.served(nowMs * 1000, serviceMs * 1000);
      waits[computed++ % WINDOW] = waitMs;
    },
    failed(error) {
      counts.failures++;
      lastError = error;
    },
    dropped(count) {
      counts.dropped += count;
    },
    served: () => ({ answered, failed: counts.failures }),
    read() {
      const sorted = latencies.slice(0, Math.min(answered, WINDOW)).sort();
      return {
        name,
        ...counts,
        latencyMsP50: quantile(sorted, 0.5),
        latencyMsP99: quantile(sorted, 0.99),
        lastResult,
        lastError,
      };
    },
    load(nowMs) {
      const { rate = 0, mean, second } = meter?.read(nowMs * 1000) ?? {};
      const moments = {
        serviceMs: mean === undefined ? null : mean / 1e3,
        serviceMsSquared: second === undefined ? null : second / 1e6,
      };
      return { name, perSecond: rate * 1e6, ...moments, waitsMs: waits.slice(0, Math.min(computed, WINDOW)) };
    },
  };
}

/** What triggers ask of the node together; each with its class. */
export function nodeLoad(
  counters: readonly { readonly counter: TriggerCounter; readonly priority: number }[],
  serving: Pick<NodeLoad, 'servers' | 'order'>,
  nowMs: number,
): NodeLoad {
  const loads = counters.map(({ counter, priority }) => ({ priority, ...counter.load(nowMs) }));
  const streams = loads.map(({ name, priority, perSecond, serviceMs, serviceMsSquared }) => ({
    trigger: name,
    class: priorities[priority] as NodeLoad['streams'][number]['class'],
    ...{ perSecond, serviceMs, serviceMsSquared },
  }));
  const waits = priorities.flatMap((name, priority) => {
    const all = loads.filter((load) => load.priority === priority).flatMap(({ waitsMs }) => [...waitsMs]);
    if (all.length === 0) return [];
    const sorted = Float64Array.from(all).sort();
    const meanMs = all.reduce((sum, ms) => sum + ms, 0) / all.length;
    const [p50Ms, p99Ms] = [quantile(sorted, 0.5) ?? 0, quantile(sorted, 0.99) ?? 0];
    return [{ class: name, count: all.length, meanMs, p50Ms, p99Ms }];
  });
  return { ...serving, streams, waits };
}

/** The smallest value that at least the share `q` of the sorted values does not exceed (nearest rank). */
function quantile(sorted: Float64Array, q: number): number | null {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? null;
}
