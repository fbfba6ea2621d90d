/** Which nodes something is for, as it is asked for. */
import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';

export const selectorSchema = z.strictObject({
  nodes: z.array(nameSchema).min(1).max(10_000).optional(),
  labels: z
    .record(z.string().min(1).max(64), z.string().max(256))
    .refine((labels) => Object.keys(labels).length > 0, 'expected at least one label; leave labels out for every node')
    .optional(),
});
