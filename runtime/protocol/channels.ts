/**
 * What travels on which topic: one row a channel, `llmasos/v1/nodes/{node}/{channel}`. Subscriptions, the published JSON
 * Schemas and docs/protocol.md are made from, or tested against, this table.
 */
import * as z from 'zod';
import {
  desiredSchema,
  holdSchema,
  messageErrorSchema,
  metricsSchema,
  presenceSchema,
  replySchema,
  reportedSchema,
  requestSchema,
} from './messages.ts';
import { taskEventSchema, taskMessageSchema } from './tasks.ts';
import type { NodeChannel } from './topics.ts';

/** The version of the contract: the `v1` of the topics. Added keys and channels do not change it; docs/protocol.md says what does. */
export const PROTOCOL_VERSION = 1;

export interface Channel {
  readonly from: 'controller' | 'node' | 'beside the node';
  readonly qos: 0 | 1;
  readonly retain: boolean;
  readonly schema: z.ZodType;
  readonly says: string;
}

export const channels: Readonly<Record<NodeChannel | 'errors/{trigger}', Channel>> = {
  presence: { from: 'node', qos: 1, retain: true, schema: presenceSchema, says: 'online or not; also the last will' },
  reported: {
    from: 'node',
    qos: 1,
    retain: true,
    schema: reportedSchema,
    says: 'what the node is: inventory, labels, models, triggers, the desired version that it has reached',
  },
  desired: { from: 'controller', qos: 1, retain: true, schema: desiredSchema, says: 'what the node should be' },
  hold: {
    from: 'beside the node',
    qos: 1,
    retain: false,
    schema: holdSchema,
    says: 'nothing that runs may be changed, or it may again',
  },
  metrics: {
    from: 'node',
    qos: 0,
    retain: false,
    schema: metricsSchema,
    says: 'counters: every two seconds while they change, else every minute',
  },
  requests: { from: 'controller', qos: 1, retain: false, schema: requestSchema, says: 'one inference, now' },
  replies: { from: 'node', qos: 1, retain: false, schema: replySchema, says: 'its answer, by the id of the request' },
  tasks: {
    from: 'controller',
    qos: 1,
    retain: false,
    schema: taskMessageSchema,
    says: 'units of tasks: assigned, withdrawn, settled',
  },
  'task-events': {
    from: 'node',
    qos: 1,
    retain: false,
    schema: taskEventSchema,
    says: 'units of tasks: held, ended, refused',
  },
  'errors/{trigger}': {
    from: 'node',
    qos: 0,
    retain: false,
    schema: messageErrorSchema,
    says: 'a message that the trigger could not answer',
  },
};

/** All payloads as JSON Schema 2020-12, by channel, as a sender has to write them. */
export function protocolSchemas(): object {
  const schemas = Object.entries(channels).map(([channel, { schema, says }]) => {
    const { $schema: _, ...rest } = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', reused: 'inline' });
    return [channel, { description: says, ...rest }];
  });
  return {
    $schema: 'https://json-schema.org/draft/2020-12/schema',
    title: `LLMasOS protocol, version ${PROTOCOL_VERSION}`,
    $defs: Object.fromEntries(schemas),
  };
}
