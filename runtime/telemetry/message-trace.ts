/** One message as a trace: a consumer's span from its arrival until its results are safe, with what happened in between inside. */
import { SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Telemetry } from './telemetry.ts';
import { contextOf, findTraceparent, traceparentOf } from './trace-context.ts';

export interface MessageTrace {
  /** For what comes of the message. */
  readonly traceparent: string | undefined;
  /** Times as of `performance.now()`. */
  step(name: string, fromMs: number, toMs: number): void;
  end(atMs: number, error?: string): void;
}

/** Undefined where nobody traces. */
export function traceMessage(
  { tracer, traces }: Telemetry,
  trigger: string,
  { topic, payload }: { readonly topic: string; readonly payload: Uint8Array },
  arrivedMs: number,
): MessageTrace | undefined {
  if (!traces) return undefined;
  const attributes = {
    'messaging.system': 'mqtt',
    'messaging.destination.name': topic,
    'messaging.message.body.size': payload.byteLength,
    'llmasos.trigger': trigger,
  };
  const options = { kind: SpanKind.CONSUMER, startTime: arrivedMs, attributes };
  const sender = contextOf(findTraceparent(payload));
  const span = tracer.startSpan(`message ${trigger}`, options, sender);
  const inside = trace.setSpan(sender, span);
  return {
    traceparent: traceparentOf(span),
    step: (name, fromMs, toMs) => tracer.startSpan(name, { startTime: fromMs }, inside).end(toMs),
    end(atMs, error) {
      if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
      span.end(atMs);
    },
  };
}

/** Work that a control message asks for, as a span under its sender's. `failureOf`: what is wrong with the outcome, if anything. */
export async function traceWork<T>(
  { tracer }: Telemetry,
  name: string,
  traceparent: string | undefined,
  work: () => Promise<T>,
  failureOf: (outcome: T) => string | undefined,
): Promise<T> {
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER }, contextOf(traceparent));
  const outcome = await work();
  const error = failureOf(outcome);
  if (error !== undefined) span.setStatus({ code: SpanStatusCode.ERROR, message: error });
  span.end();
  return outcome;
}

/** The asking side of `traceWork`: `ask` gets what the message is to carry. */
export async function traceAsking<T>(
  { tracer }: Telemetry,
  name: string,
  ask: (traceparent: string | undefined) => Promise<T>,
): Promise<T> {
  const span = tracer.startSpan(name, { kind: SpanKind.CLIENT });
  try {
    return await ask(traceparentOf(span));
  } catch (error) {
    span.setStatus({ code: SpanStatusCode.ERROR, message: (error as Error).message });
    throw error;
  } finally {
    span.end();
  }
}
