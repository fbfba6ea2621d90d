/**
 * W3C Trace Context (www.w3.org/TR/trace-context, 3.2) over MQTT 3.1.1, which has no headers: `traceparent` stands in the
 * envelope of control messages, at the top of a sensor's JSON, and in the `meta` of a result.
 */
import { type Context, ROOT_CONTEXT, type Span, trace } from '@opentelemetry/api';

const PATTERN = /^00-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$/;
const KEY = '"traceparent"';
const LENGTH = 55;
const OPENING_BRACE = 0x7b;

/** What a span that belongs to this sender is started in. What cannot be read begins a new trace, as the standard asks. */
export function contextOf(traceparent: string | undefined): Context {
  const [, traceId, spanId, flags] = PATTERN.exec(traceparent ?? '') ?? [];
  if (!traceId || !spanId || !flags) return ROOT_CONTEXT;
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16) & 1,
    isRemote: true,
  });
}

/** Undefined when the span goes nowhere. */
export function traceparentOf(span: Span): string | undefined {
  const { traceId, spanId, traceFlags } = span.spanContext();
  if (!span.isRecording()) return undefined;
  return `00-${traceId}-${spanId}-${traceFlags.toString(16).padStart(2, '0')}`;
}

/** The `traceparent` of a message in JSON, without parsing the rest of it. */
export function findTraceparent(payload: Uint8Array): string | undefined {
  if (payload[0] !== OPENING_BRACE) return undefined;
  const bytes = Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength);
  const at = bytes.indexOf(KEY);
  if (at < 0) return undefined;
  const rest = bytes.toString('latin1', at + KEY.length, at + KEY.length + LENGTH + 20);
  return /^\s*:\s*"([0-9a-f-]{55})"/.exec(rest)?.[1];
}
