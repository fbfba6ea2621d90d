/**
 * What the controller knows about nodes, as a function of the messages they send. Messages come in batches, so that one
 * commit, that is one fsync, serves many; nothing here touches a database, a broker or a clock.
 */
import {
  type Metrics,
  metricsSchema,
  type Presence,
  parsePayload,
  presenceSchema,
  type Reply,
  type ReportedState,
  replySchema,
  reportedSchema,
} from '../../runtime/protocol/messages.ts';
import { type TaskEvent, taskEventSchema } from '../../runtime/protocol/tasks.ts';
import { parseNodeTopic } from '../../runtime/protocol/topics.ts';

export type NodeMessage =
  | { readonly kind: 'presence'; readonly node: string; readonly presence: Presence }
  | { readonly kind: 'reported'; readonly node: string; readonly reported: ReportedState }
  | { readonly kind: 'metrics'; readonly node: string; readonly metrics: Metrics }
  | { readonly kind: 'reply'; readonly node: string; readonly reply: Reply }
  | { readonly kind: 'task'; readonly node: string; readonly event: TaskEvent };

/** What describes a state: the next of its kind takes its place. */
export type StateMessage = Exclude<NodeMessage, { kind: 'reply' | 'task' }>;

/** Undefined for topics that are not ours to answer and for a retained message that was cleared. Throws on a bad payload. */
export function readNodeMessage(topic: string, payload: Uint8Array): NodeMessage | undefined {
  const parsed = parseNodeTopic(topic);
  if (!parsed || payload.byteLength === 0) return undefined;
  const { node } = parsed;
  switch (parsed.channel) {
    case 'presence':
      return { kind: 'presence', node, presence: parsePayload(presenceSchema, topic, payload) };
    case 'reported':
      return { kind: 'reported', node, reported: parsePayload(reportedSchema, topic, payload) };
    case 'metrics':
      return { kind: 'metrics', node, metrics: parsePayload(metricsSchema, topic, payload) };
    case 'replies':
      return { kind: 'reply', node, reply: parsePayload(replySchema, topic, payload) };
    case 'task-events':
      return { kind: 'task', node, event: parsePayload(taskEventSchema, topic, payload) };
    default:
      return undefined;
  }
}

/** Nodes that say that they have connected. */
export function connectedOf(messages: readonly StateMessage[]): string[] {
  return messages.flatMap((message) => (message.kind === 'presence' && message.presence.online ? message.node : []));
}

/** The durable part of a node. */
export interface NodeRecord {
  readonly name: string;
  readonly reported: ReportedState | null;
  readonly lastSeenAt: number;
}

/** The part that only holds while the controller and the broker are connected. */
export interface Live {
  readonly online: boolean;
  readonly lastSeenAt: number;
  readonly metrics: Metrics | null;
}

export interface Changes {
  /** To be written before anything else happens. */
  readonly save: readonly NodeRecord[];
  /** Nodes whose desired state may have changed: new ones, and those with other labels or another version reached. */
  readonly reconsider: readonly string[];
  readonly live: ReadonlyMap<string, Live>;
}

/** Works out what a batch of messages changes. `known` holds the nodes of the batch that are on record. */
export function foldMessages(
  known: ReadonlyMap<string, NodeRecord>,
  live: ReadonlyMap<string, Live>,
  messages: readonly StateMessage[],
  now: number,
): Changes {
  const records = new Map<string, NodeRecord>();
  const reconsider = new Set<string>();
  const nextLive = new Map<string, Live>();
  for (const message of messages) {
    const { node } = message;
    const before = nextLive.get(node) ?? live.get(node) ?? { online: false, lastSeenAt: now, metrics: null };
    const record = records.get(node) ?? known.get(node);
    if (!record) reconsider.add(node);
    // A node that is not on record is registered by its first message, whichever it is.
    if (!record || message.kind === 'presence')
      records.set(node, { name: node, reported: null, ...record, lastSeenAt: now });
    const after = { ...before, lastSeenAt: now };
    if (message.kind === 'presence') after.online = message.presence.online;
    // A node that counts is there, whatever the last will of an earlier connection of its says, which may come late.
    if (message.kind === 'metrics') {
      after.metrics = message.metrics;
      after.online = true;
    }
    if (message.kind === 'reported') {
      if (placementChanged(record?.reported ?? null, message.reported)) reconsider.add(node);
      records.set(node, { name: node, reported: message.reported, lastSeenAt: now });
    }
    nextLive.set(node, after);
  }
  return { save: [...records.values()], reconsider: [...reconsider], live: nextLive };
}

function placementChanged(before: ReportedState | null, after: ReportedState): boolean {
  if (!before || before.desiredVersion !== after.desiredVersion) return true;
  const keys = new Set([...Object.keys(before.labels), ...Object.keys(after.labels)]);
  return [...keys].some((key) => before.labels[key] !== after.labels[key]);
}
