/** Counters of one trigger and the latency of its last 1,000 messages. */
import type { TriggerMetrics } from '../protocol/messages.ts';

const WINDOW = 1_000;

export interface TriggerCounter {
  message(): void;
  /** One message was answered, `ms` after it arrived, with so many results. */
  answered(ms: number, results: number, summary: string | undefined): void;
  failed(error: string): void;
  dropped(count: number): void;
  read(): TriggerMetrics;
}

export function createCounter(name: string): TriggerCounter {
  const latencies = new Float64Array(WINDOW);
  let answered = 0;
  const counts = { messages: 0, results: 0, failures: 0, dropped: 0 };
  let lastResult: string | null = null;
  let lastError: string | null = null;
  return {
    message() {
      counts.messages++;
    },
    answered(ms, results, summary) {
      latencies[answered++ % WINDOW] = ms;
      counts.results += results;
      if (summary !== undefined) lastResult = summary;
    },
    failed(error) {
      counts.failures++;
      lastError = error;
    },
    dropped(count) {
      counts.dropped += count;
    },
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
  };
}

/** The smallest value that at least the share `q` of the sorted values does not exceed (nearest rank). */
function quantile(sorted: Float64Array, q: number): number | null {
  return sorted[Math.max(0, Math.ceil(sorted.length * q) - 1)] ?? null;
}
