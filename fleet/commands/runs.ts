import { setTimeout as pause } from 'node:timers/promises';
import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { explainRun, type TimelineRun } from '../../runtime/schedule/timeline.ts';
import { timelineChart } from '../../runtime/schedule/timeline-chart.ts';
import { timelineTrace } from '../../runtime/schedule/timeline-trace.ts';
import { defineCommand } from './command.ts';
import { printable } from './text.ts';

const ANSWER_MS_MAX = 20_000;
const LOOK_MS = 100;

const us = z.number();
/** As a node tells it: TimelineRun. */
const runSchema = z.object({
  request: z.object({
    id: z.number(),
    model: z.string(),
    tenant: z.string(),
    priority: z.union([z.string(), z.number()]),
    workUs: us,
    deadlineUs: us.optional(),
  }),
  outcome: z.enum(['done', 'failed', 'cancelled', 'late', 'timed-out', 'refused']),
  reason: z.string().optional(),
  account: z
    .object({
      ...{ submittedUs: us, readyUs: us.optional(), endedUs: us, runUs: us, preemptions: z.number() },
      slices: z
        .array(
          z.object({
            ...{ fromUs: us, untilUs: us, cores: z.array(z.int()), batch: z.int() },
            accelerator: z.string().optional(),
            preemptedBy: z.number().optional(),
          }),
        )
        .max(64),
    })
    .optional(),
});

export const runs = defineCommand({
  name: ['runs'],
  summary: "Say for each of a node's latest runs why it took as long as it did, or draw them",
  arguments: z.strictObject({
    node: nameSchema.describe('node'),
    count: z.coerce.number().int().min(1).max(200).default(60).describe('how many, the latest ones'),
    as: z
      .enum(['text', 'svg', 'trace'])
      .default('text')
      .describe('sentences, a Gantt chart (--as svg > runs.svg), or a trace for Perfetto (--as trace > runs.json)'),
  }),
  positionals: ['node'],
  permission: 'read',
  async run({ node, count, as }, { controller }) {
    const known = (await controller.nodes()).find(({ name }) => name === node);
    if (!known?.online)
      throw new Error(
        `${known ? 'not online: node' : 'there is no node'} "${node}"; "llmasos nodes" lists those there are`,
      );
    const task = await controller.tasks.add({
      work: { kind: 'command', command: 'runs', arguments: { count } },
      selector: { nodes: [node] },
      ...{ priority: 'interactive', attemptsMax: 1, timeoutMs: ANSWER_MS_MAX },
    });
    for (;;) {
      const { state, results, unitList } = await controller.tasks.show(task.id, true);
      if (state === 'active') {
        await pause(LOOK_MS);
        continue;
      }
      if (state !== 'succeeded') throw new Error(`node "${node}": ${unitList[0]?.error ?? `its task is ${state}`}`);
      const told = z.array(runSchema).safeParse(results?.[0]);
      if (!told.success)
        throw new Error(`node "${node}": expected a list of runs, got something else; update the node`);
      return { node, as, runs: told.data as readonly TimelineRun[] };
    }
  },
  render({ node, as, runs }) {
    if (as === 'trace') return JSON.stringify(timelineTrace(runs));
    if (as === 'svg') return timelineChart(runs, `The latest runs on ${node}`);
    return runs.length === 0
      ? 'It has run no model since it started.'
      : runs.map((run) => printable(explainRun(run))).join('\n');
  },
});
