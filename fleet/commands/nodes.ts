import * as z from 'zod';
import { defineCommand } from './command.ts';
import { labelsText, printable, timeText } from './text.ts';

export const nodes = defineCommand({
  name: ['nodes'],
  summary: 'List the nodes: who is online, what each runs on, which models it has ready',
  arguments: z.strictObject({}),
  permission: 'read',
  run: async (_, { controller }) => controller.nodes(),
  render(all, style) {
    if (all.length === 0) return 'No node has announced itself yet.';
    const rows = all.map((node) => {
      const models = node.reported?.models ?? [];
      const failed = [...models, ...(node.reported?.triggers ?? [])].filter(({ state }) => state === 'failed');
      const problems = [
        ...failed.map(({ name, error }) => `${name}: ${error}`),
        ...(node.refused ? [`${node.refused.count} of its messages refused, the last: ${node.refused.last}`] : []),
      ];
      const reached = node.reported?.desiredVersion ?? 0;
      return [
        style.bold(node.name),
        node.online ? style.good('online') : style.bad(`offline since ${timeText(node.lastSeenAt)}`),
        labelsText(node.labels),
        models
          .filter(({ state }) => state === 'ready')
          .map(({ name }) => name)
          .join(', '),
        reached >= node.desiredVersion
          ? style.good('up to date')
          : style.dim(`at ${reached} of ${node.desiredVersion}`),
        problems.map((problem) => style.bad(printable(problem))).join('\n'),
      ];
    });
    return style.table(['node', 'state', 'labels', 'models ready', 'desired', 'problems'], rows);
  },
});
