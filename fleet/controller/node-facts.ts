/** What the controller has in memory of every node on record, for decisions that cannot wait for the database. */
import type { NodeFacts } from '../tasks/dispatch.ts';
import type { Live, NodeRecord } from './registry.ts';

interface Known extends NodeFacts {
  readonly speaksTasks: boolean;
}

export class FactBook {
  readonly #known = new Map<string, Known>();

  /** Returns whether anything that matters has changed. */
  note({ name, reported }: NodeRecord): boolean {
    const before = this.#known.get(name);
    const ready = reported?.models.flatMap((model) => (model.state === 'ready' ? [model.name] : [])) ?? [];
    const speaksTasks = reported?.features?.includes('tasks') ?? false;
    const known = { name, labels: reported?.labels ?? {}, ready: new Set(ready), speaksTasks };
    this.#known.set(name, known);
    return !before || textOf(before) !== textOf(known);
  }

  get size(): number {
    return this.#known.size;
  }

  has(name: string): boolean {
    return this.#known.has(name);
  }

  all(): readonly NodeFacts[] {
    return [...this.#known.values()];
  }

  /** For metrics. */
  counts(live: ReadonlyMap<string, Live>): { nodes: number; nodesOnline: number; outboxItems: number } {
    let [nodesOnline, outboxItems] = [0, 0];
    for (const { online, metrics } of live.values()) {
      if (online) nodesOnline++;
      outboxItems += metrics?.outboxItems ?? 0;
    }
    return { nodes: this.#known.size, nodesOnline, outboxItems };
  }

  /** Those that are online and speak of tasks. */
  able(live: ReadonlyMap<string, Live>): readonly NodeFacts[] {
    return [...this.#known.values()].filter(({ name, speaksTasks }) => speaksTasks && live.get(name)?.online === true);
  }
}

function textOf({ labels, ready, speaksTasks }: Known): string {
  return JSON.stringify([labels, [...ready], speaksTasks]);
}
