/**
 * OpenTelemetry's SDK behind telemetry.ts. Loaded only where somebody asks for metrics or traces. Metrics are read as
 * Prometheus' text format; traces are sent by OTLP over HTTP to OTEL_EXPORTER_OTLP_ENDPOINT, and not made without it.
 * The exporter itself obeys the standard's other variables (headers, time-outs, compression).
 */
import { monitorEventLoopDelay } from 'node:perf_hooks';
import { type Attributes, type Meter, ROOT_CONTEXT, type SpanContext, type Tracer } from '@opentelemetry/api';
import { PrometheusExporter, PrometheusSerializer } from '@opentelemetry/exporter-prometheus';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import { MeterProvider } from '@opentelemetry/sdk-metrics';
import {
  BatchSpanProcessor,
  type IdGenerator,
  ParentBasedSampler,
  RandomIdGenerator,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import { noTelemetry, type Telemetry } from './telemetry.ts';

export interface TelemetryOptions {
  /** `llmasos-node` or `llmasos-controller`. */
  readonly service: string;
  readonly version: string;
  /** Name of the node, say. */
  readonly instance: string;
  readonly environment: Readonly<Record<string, string | undefined>>;
}

/** A span with an identity of its own: of something that outlives the process which saw it begin. */
export interface KnownSpan {
  readonly name: string;
  readonly identity: Pick<SpanContext, 'traceId' | 'spanId'>;
  /** Milliseconds since the epoch. */
  readonly startedAt: number;
  readonly endedAt: number;
  readonly attributes: Attributes;
}

export interface OpenTelemetry extends Telemetry {
  /** Prometheus' text format, version 0.0.4. */
  scrape(): Promise<string>;
  record(span: KnownSpan): void;
  /** Sends the spans that wait. */
  close(): Promise<void>;
}

const CONTENT_TYPE = 'text/plain; version=0.0.4; charset=utf-8';
export const SCRAPE_HEADERS = { 'content-type': CONTENT_TYPE, 'cache-control': 'no-store' };

/** Throws an Error when an environment variable cannot be obeyed. */
export function openTelemetry({ service, version, instance, environment }: TelemetryOptions): OpenTelemetry {
  const resource = resourceFromAttributes({
    'service.name': environment.OTEL_SERVICE_NAME ?? service,
    'service.version': version,
    'service.instance.id': instance,
  });
  // No server of its own: whoever has one passes `scrape` on.
  const reader = new PrometheusExporter({ preventServerStart: true });
  const meters = new MeterProvider({ resource, readers: [reader] });
  const meter = meters.getMeter('llmasos', version);
  observeProcess(meter);
  const serializer = new PrometheusSerializer('llmasos', false, undefined, false, true);
  const ids = new KnownIds();
  const spans = openTraces(environment, resource, ids);
  const tracer = spans?.getTracer('llmasos', version) ?? noTelemetry.tracer;
  return {
    meter,
    tracer,
    traces: spans !== undefined,
    async scrape() {
      return serializer.serialize((await reader.collect()).resourceMetrics);
    },
    record: (span) => recordKnown(tracer, ids, span),
    async close() {
      await Promise.allSettled([meters.shutdown(), spans?.shutdown()]);
    },
  };
}

function openTraces(
  environment: TelemetryOptions['environment'],
  resource: ReturnType<typeof resourceFromAttributes>,
  idGenerator: KnownIds,
): TracerProvider | undefined {
  const url = tracesAddress(environment);
  if (url === undefined) return undefined;
  const share = Number(environment.OTEL_TRACES_SAMPLER_ARG ?? 1);
  if (!(share >= 0 && share <= 1))
    throw new Error(
      `OTEL_TRACES_SAMPLER_ARG: expected a share from 0 to 1, got "${environment.OTEL_TRACES_SAMPLER_ARG}"`,
    );
  const sampler = new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(share) });
  const spanProcessors = [new BatchSpanProcessor({ exporter: new OTLPTraceExporter({ url }) })];
  return new TracerProvider({ resource, sampler, spanProcessors, idGenerator });
}

/** OpenTelemetry's "OTLP exporter configuration": the first variable is the whole address, the second its beginning. */
function tracesAddress(environment: TelemetryOptions['environment']): string | undefined {
  const { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: whole, OTEL_EXPORTER_OTLP_ENDPOINT: base } = environment;
  if (!whole && !base) return undefined;
  const url = whole || `${base?.replace(/\/$/, '')}/v1/traces`;
  if (URL.canParse(url)) return url;
  throw new Error(
    `OTEL_EXPORTER_OTLP_ENDPOINT: expected an address such as http://collector:4318, got "${base ?? whole}"`,
  );
}

/** Random ids, unless one is to be that of `next`. */
class KnownIds implements IdGenerator {
  next: KnownSpan['identity'] | undefined;
  readonly #random = new RandomIdGenerator();

  generateTraceId = (): string => this.next?.traceId ?? this.#random.generateTraceId();
  generateSpanId = (): string => this.next?.spanId ?? this.#random.generateSpanId();
}

function recordKnown(
  tracer: Tracer,
  ids: KnownIds,
  { name, identity, startedAt, endedAt, attributes }: KnownSpan,
): void {
  ids.next = identity;
  const span = tracer.startSpan(name, { startTime: startedAt, attributes }, ROOT_CONTEXT);
  ids.next = undefined;
  span.end(endedAt);
}

function observeProcess(meter: Meter): void {
  const delay = monitorEventLoopDelay({ resolution: 10 });
  delay.enable();
  const gauge = (name: string, description: string, read: () => number) =>
    meter.createObservableGauge(name, { description }).addCallback((result) => result.observe(read()));
  gauge('process_resident_bytes', 'Memory of the process', () => process.memoryUsage.rss());
  gauge('process_heap_bytes', 'JavaScript heap in use', () => process.memoryUsage().heapUsed);
  gauge('process_event_loop_delay_p99_seconds', 'How late timers come, since the last look', () => {
    const seconds = delay.percentile(99) / 1e9;
    delay.reset();
    return seconds;
  });
  gauge('process_uptime_seconds', 'Since its start', () => process.uptime());
  meter
    .createObservableCounter('process_cpu_seconds', { description: 'User and system time' })
    .addCallback((result) => {
      const { user, system } = process.cpuUsage();
      result.observe((user + system) / 1e6);
    });
}
