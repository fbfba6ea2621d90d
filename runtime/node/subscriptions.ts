/**
 * Keeps the broker's list of our subscriptions equal to what the running triggers need. The broker remembers it while we
 * are away (`clean: false`), and yet everything is subscribed on every connection: a broker that was killed comes back with
 * the copy of its sessions that it wrote last (mosquitto: half an hour ago, unless told otherwise), and says "session present"
 * although what was granted since is not in it. It then sends every retained message again [MQTT-3.8.4-3], and one that it
 * has no acknowledgement for twice; those that came before with the same content are repeats. What it may still list of earlier connections and processes is kept on disk and
 * unsubscribed.
 */
import { createHash } from 'node:crypto';
import { parseFilter } from '../triggers/topic-filter.ts';

/** Retained messages on further topics are handled again after each interruption. */
const RETAINED_TOPICS_MAX = 10_000;

export type Filters = Readonly<Record<string, 0 | 1>>;

export interface SubscriptionPorts {
  /** Resolves with the filters that were refused; rejects when the connection ends first. */
  subscribe(filters: Filters): Promise<string[]>;
  /** Rejects when the connection ends first. */
  unsubscribe(filters: readonly string[]): Promise<void>;
  load(): string[];
  save(filters: string[]): void;
  /** The broker has granted these: what is published on them from now on arrives. */
  onGranted(filters: readonly string[]): void;
  /** Once, however often it is asked for again: a broker that has just lost a part of its cluster refuses for a while. */
  onRefused(filter: string): void;
  /** Runs this in some seconds. */
  later(work: () => void): void;
}

export interface Subscriptions {
  /** `resumed`: the broker says that it still lists what was subscribed on the connection before. */
  connected(resumed: boolean): void;
  disconnected(): void;
  want(filters: Filters): void;
  /** Whether this retained message was sent because we subscribed once more, and came before. */
  isRepeat(message: { readonly topic: string; readonly payload: Uint8Array }): boolean;
}

export function createSubscriptions(ports: SubscriptionPorts): Subscriptions {
  /**
   * From `connected` to `disconnected`, whatever the client says: mqtt.js counts as connected a moment before it says so, and what was asked
   * for then would be asked for twice, and each retained message come twice.
   */
  let isUp = false;
  /** What was asked for on this connection. */
  let asked: Filters = {};
  const refused = new Set<string>();
  /** Topics whose retained message came in this session, with a digest of it. */
  const retained = new Map<string, string>();
  /** Those of them that came before this connection, and come again because it asks for the same filters. */
  let due = new Map<string, string>();
  /** What it may list, whoever asked for it. */
  let possible = ports.load();
  let wanted: Filters = {};

  const synchronize = (): void => {
    if (!isUp) return;
    const added = Object.entries(wanted).filter(([filter, qos]) => asked[filter] !== qos);
    const gone = [...new Set([...possible, ...Object.keys(asked)])].filter((filter) => !(filter in wanted));
    if (added.length === 0 && gone.length === 0) return;
    asked = { ...wanted };
    // Saved before they are asked for: a subscription that was forgotten would stay at the broker for ever.
    remember([...Object.keys(wanted), ...gone].sort());
    if (gone.length > 0) void unsubscribe(gone);
    if (added.length > 0) void subscribe(Object.fromEntries(added));
  };
  const remember = (filters: string[]): void => {
    if (filters.join('\n') === possible.join('\n')) return;
    possible = filters;
    ports.save(filters);
  };
  const subscribe = async (filters: Filters): Promise<void> => {
    try {
      const now = await ports.subscribe(filters);
      const granted = Object.keys(filters).filter((filter) => !now.includes(filter));
      for (const filter of granted) refused.delete(filter);
      for (const filter of now.filter((filter) => !refused.has(filter))) ports.onRefused(filter);
      for (const filter of now) refused.add(filter);
      if (granted.length > 0) ports.onGranted(granted);
      if (now.length > 0) ports.later(() => askAgain(now));
    } catch {
      // The connection ended: the next one asks for all of them.
    }
  };
  const askAgain = (filters: readonly string[]): void => {
    handleAgain(filters);
    asked = Object.fromEntries(Object.entries(asked).filter(([filter]) => !filters.includes(filter)));
    synchronize();
  };
  const unsubscribe = async (filters: string[]): Promise<void> => {
    await ports.unsubscribe(filters).then(
      () => remember(possible.filter((filter) => filter in wanted || !filters.includes(filter))),
      () => {},
    );
  };

  /** Whoever subscribes to these anew is to get their retained messages. */
  const handleAgain = (filters: readonly string[]): void => {
    for (const topic of heardOn(due.keys(), filters)) due.delete(topic);
  };
  const forget = (filters: readonly string[]): void => {
    for (const topic of heardOn(retained.keys(), filters)) {
      retained.delete(topic);
      due.delete(topic);
    }
  };

  return {
    connected(resumed) {
      isUp = true;
      if (!resumed) retained.clear();
      due = new Map(retained);
      handleAgain([...refused]);
      asked = {};
      synchronize();
    },
    disconnected() {
      isUp = false;
    },
    want(filters) {
      const gone = Object.keys(wanted).filter((filter) => !(filter in filters));
      forget(gone);
      handleAgain(Object.keys(filters).filter((filter) => !(filter in wanted)));
      for (const filter of gone) refused.delete(filter);
      wanted = { ...filters };
      synchronize();
    },
    isRepeat({ topic, payload }) {
      const digest = createHash('sha256').update(payload).digest('base64');
      if (due.get(topic) === digest) return true;
      if (due.has(topic)) due.set(topic, digest);
      if (retained.has(topic) || retained.size < RETAINED_TOPICS_MAX) retained.set(topic, digest);
      return false;
    },
  };
}

/** Those of the topics that a filter matches. */
function heardOn(topics: Iterable<string>, filters: readonly string[]): string[] {
  if (filters.length === 0) return [];
  const matches = filters.map((filter) => parseFilter(filter).match);
  return [...topics].filter((topic) => matches.some((match) => match(topic)));
}
