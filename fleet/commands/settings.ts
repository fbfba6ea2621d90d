import * as z from 'zod';
import { readTenants } from '../../devices/gateway/tenants.ts';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { logLevels, type ReportedSetting, type Settings, settingsSchema } from '../../runtime/protocol/settings.ts';
import { selectorSchema } from '../controller/selector.ts';
import type { SettingsExplanation, SettingsView } from '../controller/settings-service.ts';
import { defineCommand, type Style } from './command.ts';
import { selectorFlags, selectorOf, selectorText } from './selector-text.ts';
import { printable } from './text.ts';

const name = nameSchema.describe('name of these settings');

export const settingsSet = defineCommand({
  name: ['settings', 'set'],
  summary: 'Set something on every node, or on those with a name or label; again with its name replaces it',
  arguments: z.strictObject({
    name,
    values: settingsSchema,
    selector: selectorSchema.default({}),
    priority: z.int().min(-1_000_000).max(1_000_000).default(0),
  }),
  positionals: ['name'],
  local: {
    arguments: z.strictObject({
      name,
      logLevel: z.enum(logLevels).optional().describe('what the node logs'),
      metricsInterval: z.coerce.number().optional().describe('seconds between two messages of counters (2)'),
      memoryBudget: z.coerce.number().optional().describe('megabytes that all models may take together'),
      pin: z.array(nameSchema).optional().describe('a model that stays in memory'),
      tenants: z
        .string()
        .optional()
        .describe('whose runs share the cores, as of "node --tenants": line-1=3:64,reports=1'),
      priority: z.coerce
        .number()
        .int()
        .optional()
        .describe('where several settings select a node, the highest counts (0)'),
      ...selectorFlags,
    }),
    positionals: ['name'],
    async prepare({ name, logLevel, metricsInterval, memoryBudget, pin, tenants, priority, node, label }) {
      const values: z.input<typeof settingsSchema> = {
        ...(logLevel !== undefined && { logLevel }),
        ...(metricsInterval !== undefined && { metricsIntervalMs: Math.round(metricsInterval * 1_000) }),
        ...(memoryBudget !== undefined && { memoryBudgetMb: memoryBudget }),
        ...(pin && { pinned: pin }),
        ...(tenants !== undefined && { tenants: readTenants(tenants) }),
      };
      return { name, values, selector: selectorOf(node, label), ...(priority !== undefined && { priority }) };
    },
  },
  permission: 'write',
  run: async (settings, { controller }) => controller.settings.put(settings),
  render: (view, style) =>
    `${style.good('set')} ${style.bold(view.name)}: ${valuesText(view.values)}, on ${selectorText(view.selector)}: ${
      view.nodes.map(({ node }) => node).join(', ') || style.bad('no node matches yet')
    }`,
});

export const settingsList = defineCommand({
  name: ['settings', 'list'],
  summary: 'List the settings: what they set, on which nodes, and where that is not in force',
  arguments: z.strictObject({}),
  permission: 'read',
  run: async (_, { controller }) => controller.settings.list(),
  render(all, style) {
    if (all.length === 0) return 'There are no settings yet; "llmasos settings set NAME" makes some.';
    const rows = all.map((view) => [
      style.bold(view.name),
      valuesText(view.values),
      selectorText(view.selector),
      String(view.priority),
      troubleText(view, style),
    ]);
    return style.table(['settings', 'sets', 'on', 'priority', 'state'], rows);
  },
});

function troubleText({ nodes }: SettingsView, style: Style): string {
  if (nodes.length === 0) return style.bad('no node matches');
  const lines = nodes.flatMap(({ node, trouble }) => trouble.map((one) => `${node}: ${stateText(one, style)}`));
  return lines.join('\n') || `${nodes.length} ${nodes.length === 1 ? 'node' : 'nodes'}`;
}

function stateText({ name, state, value, error }: ReportedSetting, style: Style): string {
  const told = value === undefined ? '' : ` (has ${printable(JSON.stringify(value))})`;
  if (state === 'applied') return style.good('in force');
  if (state === 'waiting') return style.dim(`${name} is in force from the next start`);
  if (state === 'overridden') return `${name}: the node's command line wins${told}`;
  return style.bad(`${state === 'unknown' ? `${name}: ` : ''}${printable(error ?? state)}${told}`);
}

export const settingsRemove = defineCommand({
  name: ['settings', 'remove'],
  summary: 'Remove settings: nodes go back to what others say, or to what they do by themselves',
  arguments: z.strictObject({ name }),
  positionals: ['name'],
  permission: 'write',
  async run({ name }, { controller }) {
    await controller.settings.remove(name);
    return { name };
  },
  render: ({ name }, style) => `${style.good('removed')} ${style.bold(name)}`,
});

export const settingsExplain = defineCommand({
  name: ['settings', 'explain'],
  summary: 'Show what is set on a node, which settings say so, and what the node says',
  arguments: z.strictObject({ node: nameSchema.describe('node') }),
  positionals: ['node'],
  permission: 'read',
  run: async ({ node }, { controller }) => controller.settings.explain(node),
  render(explanation: SettingsExplanation, style) {
    const { node, settings, isAble } = explanation;
    if (settings.length === 0) return `Nothing is set on ${node}: it does as its command line says.`;
    const rows = settings.map((one) => [
      style.bold(one.setting),
      printable(JSON.stringify(one.value)),
      one.over.length === 0 ? one.from : `${one.from}, over ${one.over.join(', ')}`,
      one.node ? stateText(one.node, style) : style.dim(isAble ? 'not heard yet' : 'the node is too old for settings'),
    ]);
    return style.table(['setting', 'value', 'from', 'state'], rows);
  },
});

function valuesText(values: Settings): string {
  return Object.entries(values)
    .map(([setting, value]) => `${setting} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(', ');
}
