import { stringify } from 'yaml';
import { z } from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { NAME_PATTERN } from '../../runtime/protocol/topics.ts';
import { modelsOf, parseTrigger, triggerSchema } from '../../runtime/triggers/schema.ts';
import type { NodeSelector, TriggerView } from '../controller/service.ts';
import { defineCommand, type Style } from './command.ts';
import { readLocalText } from './files-io.ts';
import { labelsText } from './text.ts';

const TRIGGER_BYTES_MAX = 2 ** 18;

const selectorSchema = z.strictObject({
  nodes: z.array(nameSchema).min(1).max(10_000).optional(),
  labels: z
    .record(z.string().min(1).max(64), z.string().max(256))
    .refine((labels) => Object.keys(labels).length > 0, 'expected at least one label; leave labels out for every node')
    .optional(),
});

export const triggersList = defineCommand({
  name: ['triggers', 'list'],
  summary: 'List the triggers: what each answers, where it runs',
  arguments: z.strictObject({}),
  permission: 'read',
  run: async (_, { controller }) => controller.triggers(),
  render(all, style) {
    if (all.length === 0) return 'There are no triggers yet; add one with "llmasos triggers add FILE".';
    const rows = all.map((view) => [
      style.bold(view.trigger.name),
      view.trigger.topic,
      modelsOf(view.trigger).join(', '),
      view.trigger.output.topic,
      selectorText(view.selector),
      view.nodes.map((node) => nodeText(node, style)).join('\n') || style.bad('no node matches'),
    ]);
    return style.table(['trigger', 'answers', 'with', 'on', 'goes to', 'state'], rows);
  },
});

export const triggersShow = defineCommand({
  name: ['triggers', 'show'],
  summary: 'Show a trigger in full, and its state on every node',
  arguments: z.strictObject({ name: nameSchema.describe('trigger') }),
  positionals: ['name'],
  permission: 'read',
  async run({ name }, { controller }) {
    const all = await controller.triggers();
    const found = all.find(({ trigger }) => trigger.name === name);
    if (!found)
      throw new Error(
        `there is no trigger "${name}"; there are ${all.map((view) => view.trigger.name).join(', ') || 'none yet'}`,
      );
    return found;
  },
  render: (view, style) =>
    [
      stringify(view.trigger).trimEnd(),
      style.table(
        ['node', 'state'],
        view.nodes.map((node) => [node.node, nodeText(node, style)]),
      ),
      `revision ${view.revision}, goes to ${selectorText(view.selector)}`,
    ].join('\n\n'),
});

export const triggersAdd = defineCommand({
  name: ['triggers', 'add'],
  summary: 'Add a trigger from a YAML or JSON file, or replace the one of its name',
  arguments: z.strictObject({ trigger: triggerSchema, selector: selectorSchema.default({}) }),
  local: {
    arguments: z.strictObject({
      file: z.string().describe('YAML or JSON file; see docs/triggers.md'),
      node: z
        .array(nameSchema)
        .optional()
        .describe('a node that it goes to; every node when neither this nor --label is given'),
      label: z.array(z.string()).optional().describe('key=value that a node must have; all that are given must match'),
    }),
    positionals: ['file'],
    async prepare({ file, node, label }) {
      const trigger = parseTrigger(await readLocalText(file, TRIGGER_BYTES_MAX), file);
      return { trigger, selector: { ...(node && { nodes: node }), ...(label && { labels: parseLabels(label) }) } };
    },
  },
  permission: 'write',
  run: async ({ trigger, selector }, { controller }) => controller.putTrigger(trigger, selector),
  render: (view, style) =>
    `${style.good('added')} ${style.bold(view.trigger.name)} revision ${view.revision}, goes to ${selectorText(view.selector)}: ${
      view.nodes.map(({ node }) => node).join(', ') || style.bad('no node matches yet')
    }`,
});

export const triggersRemove = defineCommand({
  name: ['triggers', 'remove'],
  summary: 'Remove a trigger from every node',
  arguments: z.strictObject({ name: nameSchema.describe('trigger') }),
  positionals: ['name'],
  permission: 'write',
  async run({ name }, { controller }) {
    await controller.removeTrigger(name);
    return { name };
  },
  render: ({ name }, style) => `${style.good('removed')} ${style.bold(name)}`,
});

/** `['site=a', 'camera=yes']` → an object. Throws an Error for a text that is no pair. */
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

function selectorText({ nodes, labels }: NodeSelector): string {
  const parts = [
    ...(nodes ? [`nodes ${nodes.join(', ')}`] : []),
    ...(labels ? [`nodes with ${labelsText(labels)}`] : []),
  ];
  return parts.join(' and ') || 'every node';
}

function nodeText({ node, state, error }: TriggerView['nodes'][number], style: Style): string {
  if (state === 'ready') return `${node} ${style.good(state)}`;
  if (state === 'failed') return `${node} ${style.bad(`failed: ${error}`)}`;
  return `${node} ${style.dim(state)}`;
}
