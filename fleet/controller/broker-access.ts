/**
 * Who may publish what on the embedded broker, and how much of it. Decisions only; broker-io.ts acts on them. A node is known by
 * its client id, which is its name, and what stands beside it by an id that begins with the name and a dot; who may call itself so is a matter of enrolment, not of this file.
 */
import { channels } from '../../runtime/protocol/channels.ts';
import { PAYLOAD_BYTES_MAX } from '../../runtime/protocol/messages.ts';
import { parseNodeTopic } from '../../runtime/protocol/topics.ts';

export interface Publisher {
  readonly id: string;
  /** It has shown the controller's secret. */
  readonly isController: boolean;
}

const CONTROL = 'llmasos/';

export function isControl(topic: string): boolean {
  return topic.startsWith(CONTROL);
}

/** Why the client may not publish this, or undefined. */
export function publishProblem({ id, isController }: Publisher, topic: string, bytes: number): string | undefined {
  if (topic.startsWith('$')) return `topic "${topic}" belongs to the broker`;
  if (!isControl(topic)) return undefined;
  if (bytes > PAYLOAD_BYTES_MAX) return `topic "${topic}": expected at most ${PAYLOAD_BYTES_MAX} bytes, got ${bytes}`;
  if (isController) return undefined;
  const parsed = parseNodeTopic(topic);
  const name = parsed && (parsed.channel === 'errors' ? 'errors/{trigger}' : parsed.channel);
  const channel =
    name !== undefined && Object.hasOwn(channels, name) ? channels[name as keyof typeof channels] : undefined;
  if (!parsed || !channel) return `topic "${topic}" is none of the protocol's`;
  if (channel.from === 'controller') return `topic "${topic}" is the controller's to write`;
  const isBeside = channel.from === 'beside the node' && id.startsWith(`${parsed.node}.`);
  if (parsed.node !== id && !isBeside)
    return `topic "${topic}" is node "${parsed.node}"'s to write; a node's client id has to be its name`;
  return undefined;
}

export interface Rate {
  /** Messages, or bytes. */
  readonly perSecond: number;
  /** What may come at once after a pause. */
  readonly burst: number;
}

/** A token bucket that lends: what does not fit now is told how long to wait, and counts at once. */
export class Bucket {
  readonly #rate: Rate;
  #tokens: number;
  #atMs: number;

  constructor(rate: Rate, nowMs: number) {
    this.#rate = rate;
    this.#tokens = rate.burst;
    this.#atMs = nowMs;
  }

  /** Milliseconds after which this much may pass; 0 at once. */
  take(amount: number, nowMs: number): number {
    const { perSecond, burst } = this.#rate;
    this.#tokens = Math.min(burst, this.#tokens + ((nowMs - this.#atMs) / 1000) * perSecond) - amount;
    this.#atMs = nowMs;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / perSecond) * 1000;
  }
}
