/**
 * The fleet as a problem of placement: nodes as they announced themselves, triggers with what was measured of them, and,
 * said plainly, what had to be assumed.
 */
import type { NodeLoad } from '../../runtime/protocol/messages.ts';
import { modelsOf } from '../../runtime/triggers/schema.ts';
import { type Problem, type ProblemInput, parseProblem } from '../placement/problem.ts';
import { selects } from './selector.ts';
import type { NodeView } from './service.ts';
import type { StoredPlacement, StoredTrigger } from './store.ts';

/** Until a node has measured a trigger. */
const RATE_ASSUMED = 1;
const WORK_MS_ASSUMED = 50;
/** A node keeps so much of its memory for the rest; packed weights take about as much as the file. */
const MEMORY_SHARE = 0.5;
/** Measurements are rounded to steps of this factor: nodes that differ by less are alike. */
const STEP = 1.05;

export interface FleetProblem {
  readonly problem: Problem;
  readonly assumptions: readonly string[];
  /** By trigger: the nodes that it is on at present. */
  readonly now: Readonly<Record<string, readonly string[]>>;
  /** By trigger: why the controller chose these nodes. */
  readonly decisions?: Readonly<Record<string, StoredPlacement>>;
}

type Measured = NodeLoad['streams'][number] & { readonly node: string };

/** @param placedOn nodes of a trigger whose nodes the controller chose */
export function fleetProblem(
  nodes: readonly NodeView[],
  triggers: readonly StoredTrigger[],
  modelBytes: ReadonlyMap<string, number>,
  placedOn: (trigger: string) => readonly string[],
): FleetProblem {
  const known = nodes.filter(({ reported }) => reported !== null);
  const measured = known.flatMap(({ name, metrics }) =>
    (metrics?.load?.streams ?? []).map((stream): Measured => ({ ...stream, node: name })),
  );
  const assumptions: string[] = [];
  const now: Record<string, readonly string[]> = {};
  const items: ProblemInput['items'][number][] = [];
  for (const { trigger, selector } of triggers) {
    const matching = known.filter((node) => selects(selector, node)).map(({ name }) => name);
    now[trigger.name] = selector.replicas === undefined ? matching : placedOn(trigger.name);
    if (matching.length === 0) {
      assumptions.push(`${trigger.name}: left out, no node matches`);
      continue;
    }
    const streams = measured.filter((stream) => stream.trigger === trigger.name);
    const units = selector.replicas ?? matching.length;
    const demand = demandOf(streams);
    if (demand.perSecond === undefined)
      assumptions.push(`${trigger.name}: ${RATE_ASSUMED} message a second, none was counted yet`);
    if (demand.workMs === undefined)
      assumptions.push(`${trigger.name}: ${WORK_MS_ASSUMED} ms a message, none was computed yet`);
    items.push({
      name: trigger.name,
      ratePerS: units * (demand.perSecond ?? RATE_ASSUMED),
      // Of what nobody has measured nothing is excluded for being slow.
      workMs: demand.workMs ?? Math.min(WORK_MS_ASSUMED, (trigger.deadlineMs ?? Number.POSITIVE_INFINITY) / 4),
      variability: demand.variability,
      priority: trigger.priority,
      ...(trigger.deadlineMs !== undefined && { deadlineMs: trigger.deadlineMs }),
      memoryBytes: modelsOf(trigger).reduce((sum, name) => sum + (modelBytes.get(name) ?? 0), 0),
      ...{ units, replicas: units, nodes: matching },
    });
  }
  const value = { nodes: known.map((node) => asNode(node, measured)), items };
  return { problem: parseProblem(value, 'the fleet'), assumptions, now };
}

function asNode(
  { name, labels, reported, metrics }: NodeView,
  measured: readonly Measured[],
): ProblemInput['nodes'][number] {
  const { cores = 1, memoryBytes = 0, gpu } = reported?.inventory ?? {};
  const own = measured.filter((stream) => stream.node === name && (stream.serviceMs ?? 0) > 0);
  return {
    name,
    ...{ labels, zone: labels.zone ?? '' },
    // As many messages as it computes at a time, when it has said so.
    cores: Math.max(1, Math.min(4096, metrics?.load?.servers ?? cores)),
    memoryBytes: memoryBytes * MEMORY_SHARE,
    gpus: gpu?.usable ? 1 : 0,
    serviceMs: Object.fromEntries(own.map(({ trigger, serviceMs }) => [trigger, rounded(serviceMs as number)])),
  };
}

/** Means over the nodes that measured it. */
function demandOf(streams: readonly Measured[]): { perSecond?: number; workMs?: number; variability: number } {
  const mean = (values: readonly number[]): number | undefined =>
    values.length === 0 ? undefined : values.reduce((sum, value) => sum + value, 0) / values.length;
  const perSecond = mean(streams.flatMap((stream) => (stream.perSecond > 0 ? [stream.perSecond] : [])));
  const served = streams.filter(({ serviceMs }) => (serviceMs ?? 0) > 0);
  const workMs = mean(served.map(({ serviceMs }) => serviceMs as number));
  const spread = mean(
    served.map(({ serviceMs, serviceMsSquared }) => (serviceMsSquared ?? 0) / (serviceMs as number) ** 2 - 1),
  );
  return {
    ...(perSecond !== undefined && { perSecond: rounded(perSecond) }),
    ...(workMs !== undefined && { workMs: rounded(workMs) }),
    variability: Math.max(0, Math.round((spread ?? 1) * 4) / 4),
  };
}

function rounded(value: number): number {
  return STEP ** Math.round(Math.log(value) / Math.log(STEP));
}
