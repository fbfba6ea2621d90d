import * as z from 'zod';
import type { NodeLoad, NodeMemory } from '../../runtime/protocol/messages.ts';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { type Addition, type ClassForecast, forecast, room } from '../../runtime/schedule/capacity.ts';
import type { Measured } from '../../runtime/schedule/measure.ts';
import { PRIORITIES } from '../../runtime/schedule/priorities.ts';
import { merge } from '../../runtime/schedule/queueing.ts';
import type { NodeView } from '../controller/service.ts';
import { defineCommand, type Style } from './command.ts';

const MS_US = 1000;
const STREAMS_MAX = 1000;
/** Waits are about exponential, so that one in a hundred is five times the mean. */
const P99_BY_MEAN = 5;

/** Milliseconds; null where a class gets more than the cores can do, so that it waits ever longer. */
interface Waits {
  readonly meanMs: number | null;
  readonly p50Ms: number | null;
  readonly p99Ms: number | null;
}

interface ClassCapacity {
  readonly class: string;
  /** Share of the node that it takes. */
  readonly utilisation: number;
  readonly measured?: Waits & { readonly count: number };
  readonly predicted: Waits;
  /** With what `add` names. */
  readonly added?: Waits & { readonly utilisation: number };
}

interface NodeCapacity {
  readonly node: string;
  readonly servers: number;
  readonly order: NodeLoad['order'];
  readonly utilisation: number;
  readonly addedUtilisation?: number;
  readonly classes: readonly ClassCapacity[];
  readonly triggers: readonly {
    readonly trigger: string;
    readonly class: string;
    readonly perSecond: number;
    readonly serviceMs: number;
    /** How many more streams like all of its present ones fit before a class waits longer than is usual for it. */
    readonly room: number;
  }[];
  readonly memory?: NodeMemory;
}

export const capacity = defineCommand({
  name: ['capacity'],
  summary:
    'Say how busy nodes are, how long messages wait, what models take of the memory, and what more messages would do',
  arguments: z.strictObject({
    node: nameSchema.optional().describe('node; all that are online when absent'),
    add: z
      .array(z.string().regex(/^[A-Za-z0-9_-]{1,64}=\d{1,4}$/, 'TRIGGER=COUNT, as front-door=3'))
      .optional()
      .describe('TRIGGER=COUNT: what if there were so many more of what this trigger gets now'),
  }),
  positionals: ['node'],
  permission: 'read',
  async run({ node, add = [] }, { controller }): Promise<{ nodes: NodeCapacity[] }> {
    const all = await controller.nodes();
    const wanted = all.filter(({ name, online }) => (node === undefined ? online : name === node));
    if (node !== undefined && wanted.length === 0)
      throw new Error(`there is no node "${node}"; "llmasos nodes" lists those there are`);
    const loads = wanted.flatMap((view) => (view.metrics?.load ? [{ view, load: view.metrics.load }] : []));
    const additions = additionsOf(add, loads);
    return { nodes: loads.map(({ view, load }) => capacityOf(view, load, additions)) };
  },
  render({ nodes }, style) {
    if (nodes.length === 0)
      return 'No node has told how busy it is yet; each does so every two seconds while it is online.';
    return nodes.map((each) => renderNode(each, style)).join('\n\n');
  },
});

interface NamedAddition {
  readonly trigger: string;
  readonly count: number;
}

function additionsOf(words: readonly string[], loads: readonly { readonly load: NodeLoad }[]): NamedAddition[] {
  return words.map((word) => {
    const [trigger = '', count] = word.split('=');
    const streams = loads.flatMap(({ load }) => load.streams);
    if (!streams.some((stream) => stream.trigger === trigger && stream.serviceMs !== null)) {
      const known = streams.flatMap((stream) => (stream.serviceMs === null ? [] : [stream.trigger]));
      const there =
        known.length === 0 ? 'none has computed anything lately' : `there are ${[...new Set(known)].join(', ')}`;
      throw new Error(`--add ${word}: no trigger "${trigger}" has been measured; ${there}`);
    }
    return { trigger, count: Number(count) };
  });
}

/** A stream as the formulas take it: microseconds. */
function streamOf({ class: name, perSecond, serviceMs, serviceMsSquared }: NodeLoad['streams'][number]): Addition {
  const priority = PRIORITIES.findIndex((each) => each.name === name);
  return {
    priority,
    rate: perSecond / 1e6,
    mean: (serviceMs ?? 0) * MS_US,
    second: (serviceMsSquared ?? 0) * MS_US * MS_US,
  };
}

function capacityOf({ name, metrics }: NodeView, load: NodeLoad, additions: readonly NamedAddition[]): NodeCapacity {
  const { servers, order } = load;
  const streams = load.streams
    .filter(({ serviceMs }) => serviceMs !== null)
    .map((each) => ({ each, stream: streamOf(each) }));
  const measured: Measured[] = PRIORITIES.map((_, priority) =>
    merge(streams.filter(({ stream }) => stream.priority === priority).map(({ stream }) => stream)),
  );
  const more = additions.flatMap(({ trigger, count }) =>
    streams
      .filter(({ each }) => each.trigger === trigger)
      .map(({ stream }) => ({ ...stream, rate: stream.rate * count })),
  );
  const now = forecast(servers, measured, [], order);
  const then = more.length > 0 ? forecast(servers, measured, more, order) : undefined;
  const used = (forecasts: readonly ClassForecast[]): number =>
    forecasts.reduce((sum, { utilisation }) => sum + utilisation, 0);
  const classes = now.flatMap((predicted, priority): ClassCapacity[] => {
    const waits = load.waits.find((each) => each.class === predicted.name);
    const added = then?.[priority];
    if (!waits && predicted.utilisation === 0 && (added?.utilisation ?? 0) === 0) return [];
    const { count = 0, meanMs = 0, p50Ms = 0, p99Ms = 0 } = waits ?? {};
    return [
      {
        class: predicted.name,
        utilisation: predicted.utilisation,
        measured: waits && { count, meanMs, p50Ms, p99Ms },
        predicted: waitsOf(predicted),
        added: added && { utilisation: added.utilisation, ...waitsOf(added) },
      },
    ];
  });
  const triggers = streams.map(({ each, stream }) => {
    const mostUs = (PRIORITIES[stream.priority]?.targetUs ?? 0) / P99_BY_MEAN;
    return {
      trigger: each.trigger,
      class: each.class,
      perSecond: each.perSecond,
      serviceMs: each.serviceMs ?? 0,
      room: stream.rate > 0 ? room(servers, measured, stream, { mostUs, most: STREAMS_MAX, order }) : 0,
    };
  });
  const addedUtilisation = then && used(then);
  const memory = metrics?.memory;
  return { node: name, servers, order, utilisation: used(now), addedUtilisation, classes, triggers, memory };
}

function waitsOf({ meanWaitUs, p50WaitUs, p99WaitUs }: ClassForecast): Waits {
  const [meanMs, p50Ms, p99Ms] = [meanWaitUs, p50WaitUs, p99WaitUs].map((us) =>
    Number.isFinite(us) ? us / MS_US : null,
  ) as [number | null, number | null, number | null];
  return { meanMs, p50Ms, p99Ms };
}

const ms = (value: number | null | undefined): string =>
  value === undefined ? '' : value === null ? 'ever longer' : value.toFixed(value < 10 ? 2 : 0);
const percent = (share: number): string => `${(share * 100).toFixed(share < 0.1 ? 1 : 0)}%`;

function renderNode(
  { node, servers, order, utilisation, addedUtilisation, classes, triggers, memory }: NodeCapacity,
  style: Style,
): string {
  const busy = percent(utilisation);
  const then = addedUtilisation === undefined ? '' : `, ${percent(addedUtilisation)} with what is added`;
  const how = order === 'class' ? 'the more urgent interrupts' : 'in order of arrival';
  const head = `${style.bold(node)}: ${utilisation > 0.9 ? style.bad(busy) : style.good(busy)} busy${then}; ${servers === 1 ? 'one message' : `${servers} messages`} at a time, ${how}`;
  const hasAdded = classes.some(({ added }) => added);
  const rows = classes.map(({ class: name, utilisation: share, measured, predicted, added }) => [
    name,
    percent(share),
    ms(measured?.p50Ms),
    ms(predicted.p50Ms),
    ms(measured?.p99Ms),
    ms(predicted.p99Ms),
    ...(hasAdded ? [percent(added?.utilisation ?? share), ms(added?.p50Ms), ms(added?.p99Ms)] : []),
  ]);
  const header = ['class', 'of node', 'wait p50 ms', 'predicted', 'p99 ms', 'predicted'];
  const table = style.table([...header, ...(hasAdded ? ['added: of node', 'p50 ms', 'p99 ms'] : [])], rows);
  const fits = triggers.map(({ trigger, class: name, perSecond, serviceMs, room: more }) => [
    trigger,
    name,
    perSecond.toFixed(perSecond < 10 ? 2 : 0),
    ms(serviceMs),
    more >= STREAMS_MAX ? `${STREAMS_MAX} or more` : `${more}`,
  ]);
  const fitting = style.table(['trigger', 'class', 'messages/s', 'ms each', 'as many again fit'], fits);
  return [head, table, fitting, ...(memory ? renderMemory(memory, style) : [])].join('\n');
}

function renderMemory({ budgetBytes, usedBytes, models, pinnedUnknown }: NodeMemory, style: Style): string[] {
  const rows = models.map(({ name, bytes, pinned, loaded, unloads }) => [
    name,
    loaded ? megabytes(bytes) : 'when it runs next',
    pinned ? 'pinned' : '',
    `${unloads}`,
  ]);
  const unknown = pinnedUnknown.map((name) => style.bad(`"${name}" is to be pinned, but no model here is called so`));
  return [
    `memory: ${megabytes(usedBytes)} of ${megabytes(budgetBytes)}`,
    style.table(['model', 'holds', '', 'made room'], rows),
    ...unknown,
  ];
}

const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(bytes < 1e7 ? 1 : 0)} MB`;
