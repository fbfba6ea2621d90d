/**
 * What a controller says of itself and its fleet to Prometheus. Nodes behind a firewall cannot be scraped, so their counters
 * are added up here, by trigger: what a node has counted since its last message goes on top, also across its restarts.
 * Not by node: ten thousand nodes would be ten thousand series of each.
 */
import type { BatchObservableResult, Histogram, Meter } from '@opentelemetry/api';
import type { Metrics, TriggerMetrics } from '../../runtime/protocol/messages.ts';
import { SECONDS_BUCKETS } from '../../runtime/telemetry/telemetry.ts';
import type { Live, StateMessage } from './registry.ts';

export interface FleetReadings {
  readonly connected: boolean;
  readonly nodesOnline: number;
  readonly nodes: number;
  readonly outboxItems: number;
  readonly tasks: number;
  readonly unitsByState: ReadonlyMap<string, number>;
  /** Assignments ever made. */
  readonly assignments: number;
}

const COUNTS = ['messages', 'results', 'failures', 'dropped'] as const;
type Counts = Record<(typeof COUNTS)[number], number>;
/** Triggers that are counted by name. A fleet has hundreds; names beyond are one. */
const TRIGGERS_MAX = 1_000;

export class FleetMeasures {
  readonly #totals = new Map<string, Counts>();
  readonly #heard = new Map<string, number>();
  readonly #commits: Histogram;
  readonly #commands: Histogram;
  #refused = 0;

  constructor(meter: Meter, read: () => FleetReadings) {
    const advice = { explicitBucketBoundaries: SECONDS_BUCKETS };
    this.#commits = meter.createHistogram('commit_seconds', {
      description: 'Until a transaction over what nodes and people said was on the disk',
      advice,
    });
    this.#commands = meter.createHistogram('command_seconds', { description: 'Commands over HTTP', advice });
    this.#observe(meter, read);
  }

  committed(what: 'nodes' | 'tasks', ms: number): void {
    this.#commits.record(ms / 1000, { what });
  }

  answered(command: string, ms: number, ok: boolean): void {
    this.#commands.record(ms / 1000, { command, ok });
  }

  heard(channel: string): void {
    this.#heard.set(channel, (this.#heard.get(channel) ?? 0) + 1);
  }

  refused(): void {
    this.#refused++;
  }

  /** Messages of nodes, and what was known before them. */
  counted(batch: readonly StateMessage[], live: ReadonlyMap<string, Live>): void {
    for (const message of batch)
      if (message.kind === 'metrics') this.#count(live.get(message.node)?.metrics ?? null, message.metrics);
  }

  #count(before: Metrics | null, after: Metrics): void {
    const known = new Map(before?.triggers.map((trigger) => [trigger.name, trigger]));
    for (const trigger of after.triggers) {
      const totals = this.#totalsOf(trigger.name);
      const last = known.get(trigger.name);
      for (const count of COUNTS) totals[count] += growth(last, trigger, count);
    }
  }

  #totalsOf(trigger: string): Counts {
    const name = this.#totals.has(trigger) || this.#totals.size < TRIGGERS_MAX ? trigger : 'others';
    const totals = this.#totals.get(name) ?? { messages: 0, results: 0, failures: 0, dropped: 0 };
    this.#totals.set(name, totals);
    return totals;
  }

  #observe(meter: Meter, read: () => FleetReadings): void {
    const gauge = (name: string, description: string) => meter.createObservableGauge(name, { description });
    const counter = (name: string, description: string) => meter.createObservableCounter(name, { description });
    const connected = gauge('broker_connected', '1 while the controller is connected to its broker');
    const nodes = gauge('nodes', 'Nodes on record');
    const outbox = gauge('nodes_outbox_items', 'Results that wait on nodes for their broker');
    const tasks = gauge('tasks_active', 'Tasks that have not ended');
    const units = gauge('task_units', 'Units of active tasks');
    const assignments = counter('task_assignments', 'Assignments of units to nodes, over all restarts');
    const heard = counter('node_messages', 'Messages of nodes');
    const refused = counter('node_messages_refused', 'Messages of nodes that did not fit their schema');
    const triggers = COUNTS.map((count) => ({
      count,
      instrument: counter(`trigger_${count}`, `Sum of what nodes counted as ${count}`),
    }));
    const observe = (result: BatchObservableResult): void => {
      const now = read();
      result.observe(connected, now.connected ? 1 : 0);
      result.observe(nodes, now.nodesOnline, { state: 'online' });
      result.observe(nodes, now.nodes - now.nodesOnline, { state: 'offline' });
      result.observe(outbox, now.outboxItems);
      result.observe(tasks, now.tasks);
      for (const [state, count] of now.unitsByState) result.observe(units, count, { state });
      result.observe(assignments, now.assignments);
      for (const [channel, count] of this.#heard) result.observe(heard, count, { channel });
      result.observe(refused, this.#refused);
      for (const [trigger, totals] of this.#totals)
        for (const { count, instrument } of triggers) result.observe(instrument, totals[count], { trigger });
    };
    const all = [connected, nodes, outbox, tasks, units, assignments, heard, refused];
    meter.addBatchObservableCallback(observe, [...all, ...triggers.map(({ instrument }) => instrument)]);
  }
}

/** A counter that is smaller than before began anew with its process. */
function growth(before: TriggerMetrics | undefined, after: TriggerMetrics, count: keyof Counts): number {
  const last = before?.[count] ?? 0;
  return after[count] >= last ? after[count] - last : after[count];
}
