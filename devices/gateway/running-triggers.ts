/** The triggers of a node at work: their pipelines, what is run beside them for comparison, and the topics that they hear. */
import type { Logger } from 'pino';
import type { Compared } from '../../runtime/node/comparison.ts';
import type { Dispatch } from '../../runtime/node/dispatch.ts';
import { Shadows } from '../../runtime/node/shadow.ts';
import type { Trigger } from '../../runtime/triggers/schema.ts';
import type { LoadedModel } from '../../runtime/triggers/stage.ts';
import { parseFilter } from '../../runtime/triggers/topic-filter.ts';
import type { Loader } from './loader.ts';

export interface TriggerPorts {
  readonly node: string;
  readonly createPipeline: Loader['createPipeline'];
  readonly dispatch: Dispatch;
  /** All filters that are to be subscribed from now on, with their QoS. */
  subscribe(filters: Readonly<Record<string, 0 | 1>>): void;
  readonly log: Logger;
}

export class RunningTriggers {
  readonly #ports: TriggerPorts;
  readonly #shadows = new Shadows();
  readonly #running = new Map<string, Trigger>();
  /** Triggers whose messages are subscribed: those that run and those that are about to. */
  readonly #listening = new Map<string, Trigger>();

  constructor(ports: TriggerPorts) {
    this.#ports = ports;
  }

  get running(): Trigger[] {
    return [...this.#running.values()];
  }

  hold = (trigger: Trigger): void => {
    const { match } = parseFilter(trigger.topic);
    this.#ports.dispatch.hold(trigger.name, (topic) => match(topic) !== undefined);
    this.#listen(trigger);
  };

  start = (trigger: Trigger, models: Readonly<Record<string, LoadedModel>>): void => {
    const { node, createPipeline, dispatch, log } = this.#ports;
    const pipeline = createPipeline(trigger, { node, models: (name) => models[name] as LoadedModel });
    const { match } = parseFilter(trigger.topic);
    const followed = this.#shadows.follow(trigger.name, pipeline);
    dispatch.set(trigger.name, (topic) => match(topic) !== undefined, followed);
    this.#running.set(trigger.name, trigger);
    this.#listen(trigger);
    log.info({ trigger: trigger.name, topic: trigger.topic }, 'trigger started');
  };

  stop = (trigger: string): void => {
    this.#ports.dispatch.delete(trigger);
    this.#running.delete(trigger);
    this.#listening.delete(trigger);
    this.#subscribe();
    this.#ports.log.info({ trigger }, 'trigger stopped');
  };

  /** In the lowest class, and without a deadline: its results are for the comparison alone. */
  startTrial = (trigger: Trigger, models: Readonly<Record<string, LoadedModel>>): void => {
    const { deadlineMs: _, ...form } = trigger;
    const context = { node: this.#ports.node, models: (name: string) => models[name] as LoadedModel };
    const pipeline = this.#ports.createPipeline({ ...form, priority: 'background' }, context);
    this.#shadows.start(trigger.name, pipeline);
  };

  stopTrial = (trigger: string): void => this.#shadows.stop(trigger);

  /** By trigger: how the new forms do. */
  compared = (): ReadonlyMap<string, Compared> => this.#shadows.read();

  /** Resolves when no stopped or replaced trigger uses its models any longer. */
  quiet = async (): Promise<void> => {
    await Promise.all([this.#ports.dispatch.quiet(), this.#shadows.quiet()]);
  };

  #listen(trigger: Trigger): void {
    this.#listening.set(trigger.name, trigger);
    this.#subscribe();
  }

  /** Triggers may share a filter: then the broker gives it the higher QoS. */
  #subscribe(): void {
    const filters: Record<string, 0 | 1> = {};
    for (const { topic, qos } of this.#listening.values()) {
      const { mqtt } = parseFilter(topic);
      filters[mqtt] = qos === 1 ? 1 : (filters[mqtt] ?? 0);
    }
    this.#ports.subscribe(filters);
  }
}
