/** Live results as server-sent events (HTML Standard, section 9.2): one event a message, its data `{topic, payload, at}`. */
import type { Hono } from 'hono';
import { type SSEStreamingApi, streamSSE } from 'hono/streaming';
import { parseFilter } from '../../runtime/triggers/topic-filter.ts';
import type { ControllerService, LiveResult } from '../controller/service.ts';

/** What may wait for a reader that is slower than the results; the ones beyond are counted, not kept. */
const WAITING_BYTES_MAX = 8 * 2 ** 20;
/** Something has to pass now and then, or neither side notices that the other is gone. */
const KEEP_ALIVE_MS = 15_000;

export function watchRoute(app: Hono, service: ControllerService): void {
  app.get('/v1/watch', (context) => {
    const filter = context.req.query('filter') ?? '#';
    parseFilter(filter);
    return streamSSE(context, (stream) => watch(stream, service, filter));
  });
}

async function watch(stream: SSEStreamingApi, service: ControllerService, filter: string): Promise<void> {
  const ended = new AbortController();
  stream.onAbort(() => ended.abort());
  let waitingBytes = 0;
  let dropped = 0;
  const send = async ({ topic, payload, at }: LiveResult): Promise<void> => {
    if (waitingBytes + payload.byteLength > WAITING_BYTES_MAX) {
      dropped++;
      return;
    }
    waitingBytes += payload.byteLength;
    const left = dropped;
    dropped = 0;
    if (left > 0) await stream.writeSSE({ event: 'dropped', data: JSON.stringify({ messages: left }) });
    const data = JSON.stringify({ topic, payload: Buffer.from(payload).toString('base64'), at });
    await stream.writeSSE({ event: 'result', data });
    waitingBytes -= payload.byteLength;
  };
  const keepAlive = setInterval(() => void stream.write(': still here\n\n'), KEEP_ALIVE_MS);
  try {
    // The headers go out with the first byte, and a caller wants to know at once that somebody listens.
    await stream.write(': watching\n\n');
    await service.watch(filter, (result) => void send(result), ended.signal);
  } catch (error) {
    await stream.writeSSE({ event: 'refused', data: JSON.stringify({ error: (error as Error).message }) });
  } finally {
    clearInterval(keepAlive);
  }
}
