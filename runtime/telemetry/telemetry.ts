/** Where measurements and spans go: the standard's own interfaces (OpenTelemetry API), which do nothing until telemetry-io.ts stands behind them. */
import { createNoopMeter, type Meter, type Tracer, trace } from '@opentelemetry/api';

export interface Telemetry {
  readonly meter: Meter;
  readonly tracer: Tracer;
  /** Whether spans go anywhere: what is only needed for them can be left out. */
  readonly traces: boolean;
}

export const noTelemetry: Telemetry = { meter: createNoopMeter(), tracer: trace.getTracer('llmasos'), traces: false };

/** Seconds, from a tenth of a millisecond, where small models answer, to a minute. */
export const SECONDS_BUCKETS = [
  1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];
