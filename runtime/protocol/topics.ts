/**
 * Every MQTT topic of the fleet, in one place. Plain MQTT 3.1.1: QoS 0 and 1, no shared subscriptions, no properties.
 * Levels are `[A-Za-z0-9_-]`, so that any broker and any access list can carry them.
 * What travels on which of them, and its schema: channels.ts, docs/protocol.md.
 */
const ROOT = 'llmasos/v1/nodes';

export const NAME_PATTERN = /^[A-Za-z0-9_-]{1,64}$/;

export type NodeChannel =
  | 'presence'
  | 'reported'
  | 'desired'
  | 'hold'
  | 'metrics'
  | 'requests'
  | 'replies'
  | 'tasks'
  | 'task-events';

export function nodeTopic(node: string, channel: NodeChannel): string {
  return `${ROOT}/${node}/${channel}`;
}

export function errorTopic(node: string, trigger: string): string {
  return `${ROOT}/${node}/errors/${trigger}`;
}

/** Filter for one channel of all nodes. */
export function allNodes(channel: NodeChannel): string {
  return `${ROOT}/+/${channel}`;
}

export const ALL_ERRORS = `${ROOT}/+/errors/+`;

export function parseNodeTopic(topic: string): { node: string; channel: string; rest: string[] } | undefined {
  const [a, b, c, node, channel, ...rest] = topic.split('/');
  if (`${a}/${b}/${c}` !== ROOT || !node || !channel || !NAME_PATTERN.test(node)) return undefined;
  return { node, channel, rest };
}
