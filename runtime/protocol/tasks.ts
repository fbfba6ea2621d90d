/**
 * Messages about tasks, as CloudEvents 1.0 in structured JSON, with its extensions for correlation and expiry. A task is
 * split into units; a unit is given to one node at a time, under a fence: a number that grows with every assignment that the
 * controller makes, so that of two holders the later one is known (Kleppmann, "How to do distributed locking", 2016).
 *
 * Everything may be lost, doubled or late. Each side repeats itself until the other has answered from its disk:
 *   assigned   → held (it is on the node's disk), ended or refused
 *   ended      → settled (the outcome is on the controller's disk, or nobody wants it any more)
 *   withdrawn  → ended
 */
import * as z from 'zod';
import { priorities } from '../triggers/schema.ts';
import { hashSchema, nameSchema, traceparentSchema } from './messages.ts';
import { softwareVersionSchema } from './software.ts';

const time = z.number().describe('milliseconds since the epoch');
const fence = z.int().nonnegative().describe('grows with every assignment');

/** Inline, base64; or the hash of a blob on the controller. */
export const inputSchema = z.union([z.object({ base64: z.string() }), z.object({ sha256: hashSchema })]);
export const formatSchema = z.enum(['image', 'audio', 'json', 'tensors']);

const workSchema = z.discriminatedUnion('kind', [
  z.object({
    kind: z.literal('inference'),
    model: nameSchema,
    format: formatSchema,
    inputs: z.array(inputSchema).min(1).max(1_000),
  }),
  z.object({
    kind: z.literal('command'),
    command: nameSchema.describe('one that the node knows: runtime/node/node-commands.ts'),
    arguments: z.record(z.string(), z.unknown()),
  }),
  /** The desired state names the version as well, and brings it; the unit ends as the node's update does. */
  z.object({
    kind: z.literal('update'),
    version: softwareVersionSchema,
    sha256: hashSchema.describe('of its list of files'),
  }),
]);

const unitFence = z.object({ unit: z.string().min(1).max(128), fence });

export const assignmentSchema = unitFence.extend({
  priority: z.enum(priorities),
  /** A node does not begin after it. */
  deadlineAt: time,
  work: workSchema,
  acceptedAt: time.optional().describe('when the controller accepted the task'),
  traceparent: traceparentSchema,
});

export const outcomeSchema = z.discriminatedUnion('state', [
  /** One result an input, in their order; a command has one. */
  z.object({ state: z.literal('succeeded'), results: z.array(z.unknown()) }),
  z.object({ state: z.literal('failed'), error: z.string() }),
  /** Withdrawn before it was done. */
  z.object({ state: z.literal('cancelled') }),
  /** Its deadline had passed before it was begun. */
  z.object({ state: z.literal('expired') }),
]);

const floor = fence.describe('assignments up to here are settled: one that comes now is late');
/** A controller goes on from the highest that it hears: there must be numbers left, whatever a node says. */
const floorOfNode = floor.max(2 ** 52);

const envelope = z.object({
  specversion: z.literal('1.0'),
  id: z.string().min(1).max(128),
  source: z.string().min(1).max(256),
  time: z.iso.datetime(),
  /** The id of the message that this one answers. */
  correlationid: z.string().max(128).optional(),
  /** The latest moment at which the message means anything. */
  expirytime: z.iso.datetime().optional(),
});

const event = <Type extends string, Data extends z.ZodType>(type: Type, data: Data) =>
  envelope.extend({ type: z.literal(`llmasos.tasks.${type}`), data });

/** From the controller. Units are checked one by one by the node, so that one which it cannot read does not stop the others. */
export const taskMessageSchema = z.discriminatedUnion('type', [
  event('assigned', z.object({ floor, units: z.array(assignmentSchema).max(1_000) })),
  event('withdrawn', z.object({ floor, units: z.array(unitFence).max(1_000) })),
  event('settled', z.object({ floor, units: z.array(unitFence).max(1_000) })),
]);

/** The same before its assignments are checked. */
export const looseTaskMessageSchema = envelope.extend({
  type: z.enum(['llmasos.tasks.assigned', 'llmasos.tasks.withdrawn', 'llmasos.tasks.settled']),
  data: z.object({ floor, units: z.array(z.looseObject(unitFence.shape)).max(1_000) }),
});

/** From a node. */
export const taskEventSchema = z.discriminatedUnion('type', [
  event('held', z.object({ floor: floorOfNode, units: z.array(unitFence).max(1_000) })),
  event(
    'ended',
    z.object({ floor: floorOfNode, units: z.array(unitFence.extend({ outcome: outcomeSchema })).max(1_000) }),
  ),
  event(
    'refused',
    z.object({
      floor: floorOfNode,
      units: z
        .array(unitFence.extend({ reason: z.enum(['stale', 'full', 'unsupported']), error: z.string().optional() }))
        .max(1_000),
    }),
  ),
]);

export type Work = z.infer<typeof workSchema>;
export type Assignment = z.infer<typeof assignmentSchema>;
export type Outcome = z.infer<typeof outcomeSchema>;
export type UnitFence = z.infer<typeof unitFence>;
export type TaskMessage = z.infer<typeof taskMessageSchema>;
export type TaskEvent = z.infer<typeof taskEventSchema>;
/** A message without its envelope. */
export type Content<Message extends { type: string; data: unknown }> = Message extends Message
  ? Pick<Message, 'type' | 'data'>
  : never;

/** @param source who sends: `/controller`, or `/nodes/{node}` */
export function envelopeOf<Message extends { type: string; data: unknown }>(
  content: Content<Message>,
  source: string,
  id: string,
  now: number,
): Message {
  return { specversion: '1.0', id, source, time: new Date(now).toISOString(), ...content } as unknown as Message;
}
