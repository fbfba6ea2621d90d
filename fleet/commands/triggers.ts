import { stringify } from 'yaml';
import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { modelsOf, triggerSchema } from '../../runtime/triggers/schema.ts';
import { parseTrigger } from '../../runtime/triggers/trigger-file.ts';
import { selectorSchema } from '../controller/selector.ts';
import type { TriggerView } from '../controller/service.ts';
import { defineCommand, type Style } from './command.ts';
import { readLocalText } from './files-io.ts';
import { selectorFlags, selectorOf, selectorText } from './selector-text.ts';

const TRIGGER_BYTES_MAX = 2 ** 18;

const placedSelectorSchema = selectorSchema.extend({ replicas: z.int().min(1).max(10_000).optional() });

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
  arguments: z.strictObject({ trigger: triggerSchema, selector: placedSelectorSchema.default({}) }),
  local: {
    arguments: z.strictObject({
      file: z.string().describe('YAML or JSON file; see docs/triggers.md'),
      ...selectorFlags,
      replicas: z.coerce.number().optional().describe('on so many of these nodes; the controller chooses which'),
    }),
    positionals: ['file'],
    async prepare({ file, node, label, replicas }) {
      const trigger = parseTrigger(await readLocalText(file, TRIGGER_BYTES_MAX), file);
      return { trigger, selector: { ...selectorOf(node, label), ...(replicas !== undefined && { replicas }) } };
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

function nodeText({ node, state, error }: TriggerView['nodes'][number], style: Style): string {
  if (state === 'ready') return `${node} ${style.good(state)}`;
  if (state === 'failed') return `${node} ${style.bad(`failed: ${error}`)}`;
  return `${node} ${style.dim(state)}`;
}
