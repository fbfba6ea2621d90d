/** The client of the latency bench: sends, hears, and keeps the times by its own monotonic clock. */
import type { Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectAsync } from 'mqtt';

/** One column a quantity, one row a message, milliseconds; NaN where no answer came. */
export interface Times {
  readonly result: Float64Array;
  /** What the result says of itself: how long the run waited for the computing thread, and how long it took there. */
  readonly queue: Float64Array;
  readonly run: Float64Array;
  readonly oneHop: Float64Array;
  readonly twoHops: Float64Array;
}

export interface Client {
  /** Bytes of the last result. */
  readonly resultBytes: number;
  readonly probabilities: Float64Array;
  readonly times: Times;
  /** Sends messages `from` … `to` − 1, so many a second, each followed by an echo of one hop and, if wanted, of two. */
  send(from: number, to: number, rate: number, twoHops: boolean): Promise<void>;
  /** Resolves when everything that was sent has been answered, or after a while with what there is. */
  settle(): Promise<void>;
  close(): Promise<void>;
}

export interface ClientOptions {
  readonly broker: string;
  readonly qos: 0 | 1;
  readonly count: number;
  /** Little-endian 16-bit samples; sent again from the start when they end. */
  readonly sound: Uint8Array;
  readonly bytesPerMessage: number;
}

interface Result {
  readonly probability: number;
  readonly meta: {
    readonly queueMs: number;
    readonly runMs: number;
    readonly window: { start: number; length: number };
  };
}

const LATE_MS_MAX = 5_000;
const POLL_MS = 20;

export async function connectClient({ broker, qos, count, sound, bytesPerMessage }: ClientOptions): Promise<Client> {
  const mqtt = await connectAsync(broker, { protocolVersion: 4 });
  // As the node does: what is measured shall not be a packet that waits for the acknowledgement of the one before (RFC 896).
  (mqtt.stream as Socket).setNoDelay(true);
  const column = (): Float64Array => new Float64Array(count).fill(Number.NaN);
  const times = { result: column(), queue: column(), run: column(), oneHop: column(), twoHops: column() };
  const sentMs = { result: column(), oneHop: column(), twoHops: column() };
  const probabilities = column();
  let resultBytes = 0;
  let waiting = 0;

  const hear = (kind: keyof typeof sentMs, index: number, nowMs: number): void => {
    if (!Number.isNaN(times[kind][index] as number)) return;
    times[kind][index] = nowMs - (sentMs[kind][index] as number);
    waiting--;
  };
  mqtt.on('message', (topic, payload) => {
    const nowMs = performance.now();
    if (topic === 'echo/back') return hear('oneHop', payload.readUInt32LE(0), nowMs);
    if (topic === 'echo/answer') return hear('twoHops', payload.readUInt32LE(0), nowMs);
    const { probability, meta } = JSON.parse(payload.toString()) as Result;
    const index = meta.window.start / meta.window.length;
    hear('result', index, nowMs);
    times.queue[index] = meta.queueMs;
    times.run[index] = meta.runMs;
    probabilities[index] = probability;
    resultBytes = payload.byteLength;
  });
  await mqtt.subscribeAsync(['latency/probe/speech', 'echo/back', 'echo/answer'], { qos });

  const publish = (kind: keyof typeof sentMs, topic: string, index: number, payload: Buffer): void => {
    waiting++;
    sentMs[kind][index] = performance.now();
    mqtt.publish(topic, payload, { qos });
  };
  const messageAt = (index: number): Buffer => {
    const messages = Math.floor(sound.byteLength / bytesPerMessage);
    const at = (index % messages) * bytesPerMessage;
    return Buffer.from(sound.subarray(at, at + bytesPerMessage));
  };
  const numbered = (index: number): Buffer => {
    const payload = messageAt(index);
    payload.writeUInt32LE(index, 0);
    return payload;
  };

  return {
    get resultBytes() {
      return resultBytes;
    },
    probabilities,
    times,
    async send(from, to, rate, twoHops) {
      // Thirds of a period apart, so that none of them meets another on its way.
      const thirdMs = 1000 / rate / 3;
      const startMs = performance.now();
      const due = (step: number): Promise<void> => sleep(Math.max(0, startMs + step * thirdMs - performance.now()));
      for (let index = from; index < to; index++) {
        const step = (index - from) * 3;
        await due(step);
        publish('result', 'latency/probe/audio', index, messageAt(index));
        await due(step + 1);
        publish('oneHop', 'echo/back', index, numbered(index));
        await due(step + 2);
        if (twoHops) publish('twoHops', 'echo/question', index, numbered(index));
      }
    },
    async settle() {
      for (let waitedMs = 0; waiting > 0 && waitedMs < LATE_MS_MAX; waitedMs += POLL_MS) await sleep(POLL_MS);
    },
    async close() {
      await mqtt.endAsync();
    },
  };
}
