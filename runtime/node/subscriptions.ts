/**
 * Keeps the broker's list of our subscriptions equal to what the running triggers need. The broker remembers it while we
 * are away (`clean: false`), so a subscription is not repeated on a resumed session: the broker would send every retained
 * message again [MQTT-3.8.4-3]. What it may remember is kept on disk, so that a trigger that went while we were away is unsubscribed.
 */
export type Filters = Readonly<Record<string, 0 | 1>>;

export interface SubscriptionPorts {
  readonly connected: () => boolean;
  /** Resolves with the filters that were refused; rejects when the connection ends first. */
  subscribe(filters: Filters): Promise<string[]>;
  unsubscribe(filters: readonly string[]): void;
  load(): Filters;
  save(filters: Filters): void;
  onRefused(filter: string): void;
}

export interface Subscriptions {
  /** The broker must already list none of ours when `resumed` is false. */
  connected(resumed: boolean): void;
  want(filters: Filters): void;
}

export function createSubscriptions(ports: SubscriptionPorts): Subscriptions {
  let known: Filters = ports.load();
  let wanted: Filters = {};

  const synchronize = (): void => {
    if (!ports.connected()) return;
    const added = Object.entries(wanted).filter(([filter, qos]) => known[filter] !== qos);
    const gone = Object.keys(known).filter((filter) => !(filter in wanted));
    if (added.length === 0 && gone.length === 0) return;
    known = { ...wanted };
    // Saved before it is asked for: forgetting a subscription would leave it at the broker for ever.
    ports.save({ ...known, ...Object.fromEntries(gone.map((filter) => [filter, 0 as const])) });
    ports.unsubscribe(gone);
    if (added.length > 0) void subscribe(Object.fromEntries(added));
  };
  const subscribe = async (filters: Filters): Promise<void> => {
    const refused = await ports.subscribe(filters).catch(() => {
      // The connection ended: ask again on the next one, whether or not the session is resumed.
      known = Object.fromEntries(Object.entries(known).filter(([filter]) => !(filter in filters)));
      return [];
    });
    for (const filter of refused) ports.onRefused(filter);
  };

  return {
    connected(resumed) {
      if (!resumed) known = {};
      synchronize();
    },
    want(filters) {
      wanted = { ...filters };
      synchronize();
    },
  };
}
