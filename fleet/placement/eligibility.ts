/** Whether a node could serve an item, if nothing else were there. */
import { PRIORITIES, priorityOf } from '../../runtime/schedule/priorities.ts';
import type { PlacementItem, PlacementNode, ZoneLink } from './problem.ts';

/** What decides about exclusions beside item and node. */
export interface Surroundings {
  readonly links: ReadonlyMap<string, ZoneLink>;
}

/** Why a node cannot serve an item, with the figures that a sentence needs. */
export type Exclusion =
  | { readonly rule: 'name'; readonly allowed: readonly string[] }
  | { readonly rule: 'label'; readonly key: string; readonly wanted: string; readonly has?: string }
  | { readonly rule: 'no-gpu' }
  | { readonly rule: 'memory'; readonly needs: number; readonly has: number }
  | { readonly rule: 'no-link'; readonly from: string; readonly to: string }
  /** The run alone takes so long that too little of the deadline is left for waiting. */
  | { readonly rule: 'slow'; readonly takesMs: number; readonly allowedMs: number; readonly waitMs: number }
  | { readonly rule: 'budget'; readonly costs: number; readonly allowed: number }
  | { readonly rule: 'network'; readonly needs: number; readonly has: number }
  /** One unit is more than the node may be loaded with. */
  | { readonly rule: 'load'; readonly needs: number; readonly has: number };

export function linkKey(a: string, b: string): string {
  return a < b ? `${a}\n${b}` : `${b}\n${a}`;
}

export function serviceMsOn(item: PlacementItem, node: PlacementNode): number {
  return node.serviceMs[item.name] ?? item.workMs / (item.accelerator === 'gpu' ? node.gpuSpeed : node.speed);
}

/**
 * How long runs of the item may wait for a core: half the deadline, rounded down to 1, 2 or 5 times a power of ten so
 * that items share targets; without a deadline, the target that the scheduler orders its class by.
 */
export function waitMsOf({ deadlineMs, priority }: PlacementItem): number {
  if (deadlineMs === undefined) return (PRIORITIES[priorityOf(priority) as number]?.targetUs as number) / 1000;
  const half = deadlineMs / 2;
  const decade = 10 ** Math.floor(Math.log10(half));
  const step = [5, 2, 1].find((factor) => factor * decade <= half) ?? 1;
  return step * decade;
}

/** The first rule that keeps the item off the node; undefined when it is a candidate. */
export function exclusionOf(item: PlacementItem, node: PlacementNode, { links }: Surroundings): Exclusion | undefined {
  if (item.nodes && !item.nodes.includes(node.name)) return { rule: 'name', allowed: item.nodes };
  for (const key of Object.keys(item.labels)) {
    const [wanted, has] = [item.labels[key] as string, node.labels[key]];
    if (has !== wanted) return { rule: 'label', key, wanted, has };
  }
  if (item.accelerator === 'gpu' && node.gpus === 0) return { rule: 'no-gpu' };
  if (item.memoryBytes > node.memoryBytes) return { rule: 'memory', needs: item.memoryBytes, has: node.memoryBytes };
  const from = item.data?.zone ?? node.zone;
  const link = from === node.zone ? undefined : links.get(linkKey(from, node.zone));
  if (from !== node.zone && links.size > 0 && !link) return { rule: 'no-link', from, to: node.zone };
  if (item.deadlineMs !== undefined) {
    const takesMs = serviceMsOn(item, node) + (link?.latencyMs ?? 0);
    const waitMs = waitMsOf(item);
    const allowedMs = item.deadlineMs - waitMs;
    if (takesMs > allowedMs) return { rule: 'slow', takesMs, allowedMs, waitMs };
  }
  return undefined;
}
