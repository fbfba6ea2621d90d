/**
 * How much the embedded broker may hold: it keeps everything in memory, and aedes itself sets no limit to retained messages
 * nor to what waits for a client that is away (or confirms nothing). Counts only; broker-io.ts acts on the answers.
 */

export interface MemoryLimits {
  readonly retainedTopics: number;
  readonly retainedBytes: number;
  /** For one client. */
  readonly waitingMessages: number;
  readonly waitingBytes: number;
  /** For all clients together; beyond, nothing is kept for those that are away. */
  readonly allWaitingBytes: number;
}

export class Retained {
  readonly #limits: MemoryLimits;
  readonly #topics = new Map<string, number>();
  #bytes = 0;

  constructor(limits: MemoryLimits) {
    this.#limits = limits;
  }

  /** Counts a retained message in place of the one before it; an empty one clears its topic. False when it does not fit. */
  admit(topic: string, bytes: number): boolean {
    const before = this.#topics.get(topic);
    const total = this.#bytes - (before ?? 0) + bytes;
    if (bytes > 0 && before === undefined && this.#topics.size >= this.#limits.retainedTopics) return false;
    if (bytes > (before ?? 0) && total > this.#limits.retainedBytes) return false;
    this.#bytes = total;
    if (bytes > 0) this.#topics.set(topic, bytes);
    else this.#topics.delete(topic);
    return true;
  }
}

interface Waiting {
  messages: number;
  bytes: number;
  full: boolean;
}

/** QoS 1 messages that clients with a persistent session have not confirmed. */
export class Backlog {
  readonly #limits: MemoryLimits;
  readonly #isAway: (client: string) => boolean;
  readonly #onFull: (client: string) => void;
  readonly #clients = new Map<string, Waiting>();
  #bytes = 0;

  /** @param onFull called once for a client each time that its messages begin to be left out */
  constructor(limits: MemoryLimits, isAway: (client: string) => boolean, onFull: (client: string) => void) {
    this.#limits = limits;
    this.#isAway = isAway;
    this.#onFull = onFull;
  }

  /** Counts one more message for the client; false when it does not fit. */
  admit(client: string, bytes: number): boolean {
    const waiting = this.#clients.get(client) ?? { messages: 0, bytes: 0, full: false };
    this.#clients.set(client, waiting);
    const { waitingMessages, waitingBytes, allWaitingBytes } = this.#limits;
    const full =
      waiting.messages >= waitingMessages ||
      waiting.bytes + bytes > waitingBytes ||
      (this.#bytes + bytes > allWaitingBytes && this.#isAway(client));
    if (full && !waiting.full) this.#onFull(client);
    waiting.full = full;
    if (full) return false;
    waiting.messages++;
    waiting.bytes += bytes;
    this.#bytes += bytes;
    return true;
  }

  confirmed(client: string, bytes: number): void {
    const waiting = this.#clients.get(client);
    if (!waiting) return;
    waiting.messages--;
    waiting.bytes -= bytes;
    this.#bytes -= bytes;
    if (waiting.messages > 0) return;
    this.#clients.delete(client);
    // A QoS 2 message is confirmed by another packet than the one that was counted: what is left over goes with the last.
    this.#bytes -= waiting.bytes;
  }
}
