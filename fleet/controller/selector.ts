/** Which nodes something is for. */
import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';

export const selectorSchema = z.strictObject({
  nodes: z.array(nameSchema).min(1).max(10_000).optional(),
  labels: z
    .record(z.string().min(1).max(64), z.string().max(256))
    .refine((labels) => Object.keys(labels).length > 0, 'expected at least one label; leave labels out for every node')
    .optional(),
});

/** Every condition that is given must hold; a selector without conditions selects every node. */
export function selects(
  selector: { readonly nodes?: readonly string[]; readonly labels?: Readonly<Record<string, string>> },
  node: { readonly name: string; readonly labels: Readonly<Record<string, string>> },
): boolean {
  if (selector.nodes && !selector.nodes.includes(node.name)) return false;
  return Object.entries(selector.labels ?? {}).every(([key, value]) => node.labels[key] === value);
}
