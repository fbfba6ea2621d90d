/** A rollout as it is asked for. */
import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { softwareVersionSchema } from '../../runtime/protocol/software.ts';
import { triggerSchema } from '../../runtime/triggers/schema.ts';

const DAY_MS = 86_400_000;

/** Which nodes come next: so many, until so many per cent of all have it, or those with labels. */
export const phaseSchema = z.union(
  [
    z.strictObject({ nodes: z.int().min(1).max(100_000) }),
    z.strictObject({ percent: z.number().gt(0).max(100) }),
    z.strictObject({ labels: z.record(z.string().min(1).max(64), z.string().max(256)) }),
  ],
  { error: 'expected {"nodes": n}, {"percent": p} or {"labels": {…}}' },
);

const targetSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('model'), model: nameSchema, version: z.int().positive() }),
  z.strictObject({ kind: z.literal('trigger'), trigger: triggerSchema }),
  z.strictObject({ kind: z.literal('software'), version: softwareVersionSchema }),
]);

/** Before the first nodes change, they run the old and the new side by side on the messages that come. */
const compareSchema = z.strictObject({
  messages: z.int().min(1).max(1_000_000).default(100).describe('that each node of the first phase compares'),
  agreementMin: z.number().min(0).max(1).default(0.95),
  driftMax: z.number().min(0).default(0.5).describe("of a number's mean, in standard deviations"),
  latencyRatioMax: z.number().gt(0).default(2),
  failurePercentMax: z.number().min(0).max(100).default(1).describe('of messages, beyond those that failed before'),
});

export const rolloutSpecSchema = z.strictObject({
  id: nameSchema.optional().describe('chosen by who asks: the same id again is the same rollout, not another one'),
  target: targetSchema,
  /** Nodes that none of them names come last. */
  phases: z
    .array(phaseSchema)
    .min(1)
    .max(50)
    .default([{ nodes: 1 }, { percent: 10 }, { percent: 50 }]),
  compare: compareSchema.optional(),
  /** Of the nodes that were given it: with more failures it is taken back everywhere. */
  failurePercentMax: z.number().min(0).max(100).default(0),
  /** Between the last node of a phase and the first of the next. */
  soakMs: z
    .int()
    .min(0)
    .max(30 * DAY_MS)
    .default(30_000),
  /** A node that is there and has not finished by then has failed; a phase of which nobody is there is given up. */
  phaseTimeoutMs: z
    .int()
    .min(1_000)
    .max(30 * DAY_MS)
    .default(3_600_000),
});

export type Phase = z.output<typeof phaseSchema>;
export type RolloutSpec = z.output<typeof rolloutSpecSchema>;
export type Target = RolloutSpec['target'];

/** `model vad v3`, `trigger speech`, or `software 0.2.0`. */
export function targetText(target: Target): string {
  if (target.kind === 'software') return `software ${target.version}`;
  return target.kind === 'model' ? `model ${target.model} v${target.version}` : `trigger ${target.trigger.name}`;
}

export function phaseText(phase: Phase | undefined): string {
  if (!phase) return 'the rest';
  if ('nodes' in phase) return `${phase.nodes}`;
  if ('percent' in phase) return `${phase.percent}%`;
  return Object.entries(phase.labels)
    .map(([key, value]) => `${key}=${value}`)
    .join('+');
}
