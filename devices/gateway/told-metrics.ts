/** Tells the controller the node's counters: often while they change, now and then while they do not. */
import type { Metrics } from '../../runtime/protocol/messages.ts';

/** Unless it is set. */
const METRICS_MS = 2_000;
const IDLE_METRICS_MS = 60_000;

type Told = Omit<Metrics, 'at' | 'refusedMessages'>;

export interface MetricsPorts {
  connected(): boolean;
  counts(): Pick<Told, 'outboxItems' | 'outboxDropped' | 'triggers'>;
  load(): Told['load'];
  memory(): Told['memory'];
  send(metrics: Told): void;
  /** Is called each time, whether or not anything is told. */
  before(): void;
}

export class ToldMetrics {
  readonly #ports: MetricsPorts;
  readonly #startedMs = performance.now();
  #timer: NodeJS.Timeout | undefined;
  /** The counters that were told last, and when. */
  #counts = '';
  #atMs = 0;

  constructor(ports: MetricsPorts) {
    this.#ports = ports;
  }

  every(intervalMs = METRICS_MS): void {
    clearInterval(this.#timer);
    this.#timer = setInterval(() => this.#tell(), intervalMs);
  }

  /** Whoever listens now has heard nothing yet. */
  forget(): void {
    this.#counts = '';
  }

  close(): void {
    clearInterval(this.#timer);
  }

  #tell(): void {
    const { connected, counts, load, memory, send, before } = this.#ports;
    before();
    if (!connected()) return;
    const counted = JSON.stringify(counts());
    const nowMs = performance.now();
    if (counted === this.#counts && nowMs - this.#atMs < IDLE_METRICS_MS) return;
    this.#counts = counted;
    this.#atMs = nowMs;
    send({
      ...{ uptimeMs: nowMs - this.#startedMs, residentBytes: process.memoryUsage.rss() },
      ...{ ...counts(), load: load(), memory: memory() },
    });
  }
}
