/** What a node says of itself to Prometheus: read from where it is counted whenever somebody asks. */
import type { BatchObservableResult, Meter } from '@opentelemetry/api';
import type { Metrics, ReportedState } from '../protocol/messages.ts';

export interface NodeReadings {
  readonly connected: boolean;
  readonly counts: Pick<Metrics, 'outboxItems' | 'outboxDropped' | 'refusedMessages' | 'triggers'>;
  readonly models: ReportedState['models'];
}

export function observeNode(meter: Meter, read: () => NodeReadings): void {
  const gauge = (name: string, description: string) => meter.createObservableGauge(name, { description });
  const counter = (name: string, description: string) => meter.createObservableCounter(name, { description });
  const connected = gauge('broker_connected', '1 while the node is connected to its broker');
  const outbox = gauge('outbox_items', 'Results that wait for the broker');
  const outboxDropped = counter('outbox_dropped', 'Results given up because the outbox was full');
  const refused = counter('control_messages_refused', 'Messages of the controller that did not fit their schema');
  const models = gauge('models', 'Models by state and by the engine that runs them');
  const perTrigger = {
    messages: counter('trigger_messages', 'Messages that came'),
    results: counter('trigger_results', 'Results that were given'),
    failures: counter('trigger_failures', 'Messages that could not be answered'),
    dropped: counter('trigger_dropped', 'Messages and results that were left out'),
  };
  const observe = (result: BatchObservableResult): void => {
    const now = read();
    result.observe(connected, now.connected ? 1 : 0);
    result.observe(outbox, now.counts.outboxItems);
    result.observe(outboxDropped, now.counts.outboxDropped ?? 0);
    result.observe(refused, now.counts.refusedMessages ?? 0);
    const kinds = new Map<string, { count: number; state: string; engine: string }>();
    for (const { state, engine = 'none' } of now.models) {
      const kind = kinds.get(`${state} ${engine}`) ?? { count: 0, state, engine };
      kind.count++;
      kinds.set(`${state} ${engine}`, kind);
    }
    for (const { count, ...labels } of kinds.values()) result.observe(models, count, labels);
    for (const trigger of now.counts.triggers)
      for (const [name, instrument] of Object.entries(perTrigger))
        result.observe(instrument, trigger[name as keyof typeof perTrigger], { trigger: trigger.name });
  };
  meter.addBatchObservableCallback(observe, [
    ...[connected, outbox, outboxDropped, refused, models],
    ...Object.values(perTrigger),
  ]);
}
