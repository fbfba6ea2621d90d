/**
 * When a node that is offline counts as lost, and which nodes come and go too often to be given anything new. A node that
 * is back within the hold-down has lost nothing, and one that comes back later gets nothing back by itself: so a node that
 * flaps moves nothing about.
 */
export const HOLD_DOWN_MS = 60_000;
/** So many times offline within this time are too often. */
const DROPS_MAX = 3;
const DROPS_WITHIN_MS = 600_000;

export class HoldDown {
  /** Nodes that are offline, since when; those that were never heard of are offline since the start. */
  readonly #offlineSince = new Map<string, number>();
  readonly #online = new Set<string>();
  readonly #drops = new Map<string, number[]>();
  #startedAt: number;
  /** While the broker is away nothing is known of any node. */
  #blind = false;

  constructor(now: number) {
    this.#startedAt = now;
  }

  note(node: string, online: boolean, now: number): void {
    if (online) {
      this.#online.add(node);
      this.#offlineSince.delete(node);
      return;
    }
    if (this.#offlineSince.has(node)) return;
    this.#offlineSince.set(node, now);
    if (!this.#online.delete(node)) return;
    const recent = (this.#drops.get(node) ?? []).filter((at) => now - at < DROPS_WITHIN_MS);
    this.#drops.set(node, [...recent, now]);
  }

  /** The broker is gone: that is no node's fault. */
  blind(): void {
    this.#blind = true;
    this.#online.clear();
    this.#offlineSince.clear();
  }

  /** The broker is back: every node has the whole hold-down to say so. */
  see(now: number): void {
    this.#blind = false;
    this.#startedAt = now;
  }

  isLost(node: string, now: number): boolean {
    if (this.#blind || this.#online.has(node)) return false;
    return now - (this.#offlineSince.get(node) ?? this.#startedAt) >= HOLD_DOWN_MS;
  }

  /** Why the node gets nothing new; undefined when it may. */
  refusal(node: string, now: number): string | undefined {
    if (!this.#online.has(node)) return 'it is offline';
    const drops = (this.#drops.get(node) ?? []).filter((at) => now - at < DROPS_WITHIN_MS).length;
    if (drops < DROPS_MAX) return undefined;
    return `it went offline ${drops} times in the last ${DROPS_WITHIN_MS / 60_000} minutes`;
  }
}
