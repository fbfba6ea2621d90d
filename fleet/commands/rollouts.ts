import * as z from 'zod';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { softwareVersionSchema } from '../../runtime/protocol/software.ts';
import { NAME_PATTERN } from '../../runtime/protocol/topics.ts';
import { parseTrigger } from '../../runtime/triggers/trigger-file.ts';
import { type Phase, rolloutSpecSchema } from '../rollouts/spec.ts';
import type { PhaseView, RolloutDetail, RolloutView } from '../rollouts/view.ts';
import { defineCommand, type Style } from './command.ts';
import { readLocalText } from './files-io.ts';
import { printable, timeText } from './text.ts';

const TRIGGER_BYTES_MAX = 2 ** 18;
const BAR_WIDTH = 20;
const id = nameSchema.describe('rollout');

export const rolloutsStart = defineCommand({
  name: ['rollouts', 'start'],
  summary:
    "Bring a version of a model, a new form of a trigger, or a version of the node's program to the nodes phase by phase",
  arguments: rolloutSpecSchema,
  local: {
    arguments: z.strictObject({
      model: nameSchema.optional().describe('model whose version is rolled out'),
      version: z.coerce.number().int().optional().describe('version of it (the newest); an earlier one goes back'),
      trigger: z.string().optional().describe('YAML or JSON file with the new form of a trigger that there is'),
      software: softwareVersionSchema.optional().describe("version of the node's own program"),
      phases: z
        .string()
        .optional()
        .describe(
          'who comes when, such as 1,10%,site=north,50%: nodes, share of all, label; the rest comes last (1,10%,50%)',
        ),
      failures: z.coerce
        .number()
        .min(0)
        .max(100)
        .optional()
        .describe('per cent of the nodes reached that may fail (0)'),
      compare: z.coerce
        .number()
        .int()
        .optional()
        .describe('messages on which the first nodes compare old and new before they change'),
      agreement: z.coerce.number().min(0).max(100).optional().describe('per cent of them that must agree (95)'),
      drift: z.coerce.number().optional().describe("standard deviations that a number's mean may move (0.5)"),
      latency: z.coerce.number().optional().describe('times as long as before that a message may take (2)'),
      soak: z.coerce.number().min(0).optional().describe('seconds between two phases (30)'),
      timeout: z.coerce.number().min(1).optional().describe('seconds that a phase may take (3600)'),
      id: nameSchema.optional().describe('the same id again is the same rollout'),
    }),
    async prepare(
      { model, version, trigger, software, phases, failures, soak, timeout, id, ...typed },
      { controller },
    ) {
      if ([model, trigger, software].filter((one) => one !== undefined).length !== 1)
        throw new Error('rollouts start: expected one of --model, --trigger with a file, and --software');
      const ms = (seconds: number | undefined) => (seconds === undefined ? undefined : Math.round(seconds * 1000));
      const target =
        software !== undefined
          ? { kind: 'software' as const, version: software }
          : trigger !== undefined
            ? {
                kind: 'trigger' as const,
                trigger: parseTrigger(await readLocalText(trigger, TRIGGER_BYTES_MAX), trigger),
              }
            : {
                kind: 'model' as const,
                model: model as string,
                version: version ?? (await controller.modelVersions(model as string))[0]?.version ?? 1,
              };
      return {
        ...{ id, target, compare: compareOf(typed), phases: phases === undefined ? undefined : parsePhases(phases) },
        ...{ failurePercentMax: failures, soakMs: ms(soak), phaseTimeoutMs: ms(timeout) },
      };
    },
  },
  permission: 'write',
  run: async (spec, { controller }) => controller.rollouts.start(spec),
  render: (rollout, style) => picture(rollout, style),
});

interface TypedCompare {
  readonly compare?: number | undefined;
  readonly agreement?: number | undefined;
  readonly drift?: number | undefined;
  readonly latency?: number | undefined;
}

/** Nothing is compared unless something is said about it. */
function compareOf({ compare, agreement, drift, latency }: TypedCompare) {
  if ([compare, agreement, drift, latency].every((one) => one === undefined)) return undefined;
  const agreementMin = agreement === undefined ? undefined : agreement / 100;
  return { messages: compare, agreementMin, driftMax: drift, latencyRatioMax: latency };
}

/** `1,10%,site=north` → phases. Throws an Error that names the part that is none. */
export function parsePhases(text: string): Phase[] {
  return text.split(',').map((part) => {
    const percent = /^(\d+(?:\.\d+)?)%$/.exec(part)?.[1];
    if (percent !== undefined) return { percent: Number(percent) };
    if (/^[1-9]\d*$/.test(part)) return { nodes: Number(part) };
    const pairs = part.split('+').map((pair) => [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]);
    if (part.includes('=') && pairs.every(([key]) => NAME_PATTERN.test(key as string)))
      return { labels: Object.fromEntries(pairs) };
    throw new Error(`--phases "${part}": expected a number of nodes (3), a share (10%) or a label (site=north)`);
  });
}

export const rolloutsList = defineCommand({
  name: ['rollouts', 'list'],
  summary: 'List the rollouts, newest first',
  arguments: z.strictObject({}),
  permission: 'read',
  run: async (_, { controller }) => controller.rollouts.list(),
  render(all, style) {
    if (all.length === 0) return 'There are no rollouts yet; "llmasos rollouts start" begins one.';
    const rows = all.map((rollout) => [
      style.bold(rollout.id),
      rollout.what,
      stateText(rollout, style),
      timeText(rollout.startedAt),
      rollout.endedAt === null ? '' : timeText(rollout.endedAt),
      printable(rollout.reason ?? ''),
    ]);
    return style.table(['rollout', 'of', 'state', 'started', 'ended', 'why'], rows);
  },
});

export const rolloutsShow = defineCommand({
  name: ['rollouts', 'show'],
  summary: 'Show how far a rollout is, phase by phase, and what went wrong where',
  arguments: z.strictObject({ id }),
  positionals: ['id'],
  permission: 'read',
  run: async (args, { controller }) => controller.rollouts.show(args.id),
  render: (rollout, style) => picture(rollout, style),
});

const order = (word: 'pause' | 'resume' | 'abort', summary: string) =>
  defineCommand({
    name: ['rollouts', word],
    summary,
    arguments: z.strictObject({ id }),
    positionals: ['id'],
    permission: 'write',
    run: async (args, { controller }) => controller.rollouts[word](args.id),
    render: (rollout, style) =>
      `rollout ${style.bold(rollout.id)}: ${stateText(rollout, style)}${rollout.reason === null ? '' : `: ${printable(rollout.reason)}`}`,
  });

export const rolloutsPause = order('pause', 'Let no further node have it for now');
export const rolloutsResume = order('resume', 'Go on with a rollout that was paused');
export const rolloutsAbort = order('abort', 'Take a rollout back from the nodes that have it');

function picture(rollout: RolloutDetail, style: Style): string {
  const width = Math.max(...rollout.phaseList.map(({ name }) => name.length));
  const trouble = rollout.nodeList.filter(({ details }) => details !== null);
  return [
    `${style.bold(rollout.id)}: ${rollout.what}, ${stateText(rollout, style)}`,
    ...(rollout.reason === null ? [] : [printable(rollout.reason)]),
    '',
    ...rollout.phaseList.map((phase) => phaseLine(phase, width, style)),
    ...(trouble.length === 0
      ? []
      : [
          '',
          style.table(
            ['node', 'phase', 'state', 'details'],
            trouble.map(({ node, phase, execution, finished, details }) => [
              node,
              String(phase + 1),
              finished === 'failure' ? style.bad(finished) : execution,
              printable(details ?? ''),
            ]),
          ),
        ]),
  ].join('\n');
}

function phaseLine(phase: PhaseView, width: number, style: Style): string {
  const { nodes, success, failure, canceled, doing } = phase;
  const cells = (count: number): number => Math.round((count / nodes) * BAR_WIDTH);
  const [good, bad] = [cells(success), cells(failure)];
  const bar = `${style.good('█'.repeat(good))}${style.bad('█'.repeat(bad))}${style.dim('░'.repeat(Math.max(0, BAR_WIDTH - good - bad)))}`;
  const words = [
    `${success} of ${nodes}`,
    ...(failure > 0 ? [style.bad(`${failure} failed`)] : []),
    ...(canceled > 0 ? [`${canceled} canceled`] : []),
    ...Object.entries(doing).map(([execution, count]) => style.dim(`${count} ${execution}`)),
  ];
  return `${String(phase.phase).padStart(3)}  ${phase.name.padEnd(width)}  ${bar}  ${words.join(', ')}`;
}

function stateText({ state, phase, phases, stage }: RolloutView, style: Style): string {
  if (state === 'finished') return style.good(state);
  if (state === 'stopping' || state === 'stopped') return style.bad(state);
  return `${state}, phase ${phase} of ${phases}${stage === 'soak' ? ', watched' : stage === 'compare' ? ', compared' : ''}`;
}
