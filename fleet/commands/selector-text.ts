/** Which nodes something is for, as it is typed and shown. */
import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { NAME_PATTERN } from '../../runtime/protocol/topics.ts';
import type { NodeSelector } from '../controller/service.ts';
import { labelsText } from './text.ts';

export const selectorFlags = {
  node: z
    .array(nameSchema)
    .optional()
    .describe('a node that it goes to; every node when neither this nor --label is given'),
  label: z.array(z.string()).optional().describe('key=value that a node must have; all that are given must match'),
};

/** @param label texts such as `site=a`. Throws an Error for one that is no pair */
export function selectorOf(node: string[] | undefined, label: readonly string[] | undefined) {
  return { ...(node && { nodes: node }), ...(label && { labels: parseLabels(label) }) };
}

function parseLabels(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      if (at < 1 || !NAME_PATTERN.test(pair.slice(0, at)))
        throw new Error(`--label "${pair}": expected key=value, such as site=north`);
      return [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

export function selectorText({ nodes, labels, replicas }: NodeSelector): string {
  const parts = [
    ...(nodes ? [`nodes ${nodes.join(', ')}`] : []),
    ...(labels ? [`nodes with ${labelsText(labels)}`] : []),
  ];
  if (replicas === undefined) return parts.join(' and ') || 'every node';
  return `${replicas} of ${parts.join(' and ') || 'all nodes'}`;
}
