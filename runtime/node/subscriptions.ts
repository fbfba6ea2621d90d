/**
 * Keeps the broker's list of our subscriptions equal to what the running triggers need. The broker remembers it while we
 * are away (`clean: false`), so a subscription is not repeated on a resumed session: the broker would send every retained
 * message again [MQTT-3.8.4-3]. After a start of this process all are made anew, since the last one may have died between
 * asking and being granted; what the broker may still list besides is kept on disk and unsubscribed.
 */
export type Filters = Readonly<Record<string, 0 | 1>>;

export interface SubscriptionPorts {
  readonly connected: () => boolean;
  /** Resolves with the filters that were refused; rejects when the connection ends first. */
  subscribe(filters: Filters): Promise<string[]>;
  /** Rejects when the connection ends first. */
  unsubscribe(filters: readonly string[]): Promise<void>;
  load(): string[];
  save(filters: string[]): void;
  /** The broker has granted these: what is published on them from now on arrives. */
  onGranted(filters: readonly string[]): void;
  onRefused(filter: string): void;
}

export interface Subscriptions {
  /** `resumed`: the broker still lists what was subscribed on the connection before. */
  connected(resumed: boolean): void;
  want(filters: Filters): void;
}

export function createSubscriptions(ports: SubscriptionPorts): Subscriptions {
  /** What the broker lists for certain, once it has answered. */
  let known: Filters = {};
  /** What it may list, whoever asked for it. */
  let possible = ports.load();
  let wanted: Filters = {};

  const synchronize = (): void => {
    if (!ports.connected()) return;
    const added = Object.entries(wanted).filter(([filter, qos]) => known[filter] !== qos);
    const gone = [...new Set([...possible, ...Object.keys(known)])].filter((filter) => !(filter in wanted));
    if (added.length === 0 && gone.length === 0) return;
    known = { ...wanted };
    // Saved before they are asked for: a subscription that was forgotten would stay at the broker for ever.
    remember([...Object.keys(wanted), ...gone]);
    if (gone.length > 0) void unsubscribe(gone);
    if (added.length > 0) void subscribe(Object.fromEntries(added));
  };
  const remember = (filters: string[]): void => {
    possible = filters;
    ports.save(filters);
  };
  const subscribe = async (filters: Filters): Promise<void> => {
    try {
      const refused = await ports.subscribe(filters);
      for (const filter of refused) ports.onRefused(filter);
      const granted = Object.keys(filters).filter((filter) => !refused.includes(filter));
      if (granted.length > 0) ports.onGranted(granted);
    } catch {
      // The connection ended: ask again on the next one, whether or not the session is resumed.
      known = Object.fromEntries(Object.entries(known).filter(([filter]) => !(filter in filters)));
    }
  };
  const unsubscribe = async (filters: string[]): Promise<void> => {
    await ports.unsubscribe(filters).then(
      () => remember(possible.filter((filter) => filter in wanted || !filters.includes(filter))),
      () => {},
    );
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
