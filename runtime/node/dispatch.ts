/**
 * Brings each message to the triggers whose filter it matches. Every trigger has a queue of its own and handles one message
 * at a time, because windows and recurrent state make order matter. Queues are bounded, and what had to go is counted: of
 * QoS 0 messages, whose sender cares for the latest, the oldest soon makes room; QoS 1 messages, which are journalled, only
 * when as many wait as the journal holds.
 */

import type { Counter, Histogram } from '@opentelemetry/api';
import type { NodeLoad, TriggerMetrics } from '../protocol/messages.ts';
import { traceMessage } from '../telemetry/message-trace.ts';
import { noTelemetry, SECONDS_BUCKETS, type Telemetry } from '../telemetry/telemetry.ts';
import type { Result } from '../triggers/encode.ts';
import type { Pipeline } from '../triggers/pipeline.ts';
import type { IncomingMessage } from './incoming.ts';
import { createCounter, nodeLoad, type TriggerCounter } from './metrics.ts';
import type { ResultMessage } from './outgoing.ts';
import type { Served } from './proof.ts';

const QUEUE = { qos0: 256, messages: 10_000, bytes: 64 * 2 ** 20 };
/** A sensor message larger than this is refused. */
const MESSAGE_BYTES_MAX = 16 * 2 ** 20;
/**
 * A broker ends the connection over a packet that it does not take, and a QoS 1 result would be sent again on the next one,
 * for ever. These are the limits of the broker that a controller brings along (topic and payload share a packet).
 */
const RESULT = { payloadBytes: 16 * 2 ** 20 - 70_000, topicBytes: 65_535, topicLevels: 16 };

interface Job {
  readonly message: IncomingMessage;
  readonly arrivedMs: number;
  readonly answered: () => void;
}

type Matches = (topic: string) => boolean;

export interface DispatchPorts {
  /** `safe` is called when the result is confirmed or durable. */
  publish(message: ResultMessage, safe: () => void): void;
  /** A message could not be answered. */
  refuse(trigger: string, topic: string, error: string): void;
}

interface RoutePorts extends DispatchPorts {
  readonly telemetry: Telemetry;
  readonly duration: Histogram;
  readonly wait: Histogram;
  readonly preemptions: Counter;
}

export class Dispatch {
  readonly #ports: RoutePorts;
  readonly #routes = new Map<string, Route>();
  readonly #retired = new Set<Promise<void>>();
  #closed = false;

  constructor(ports: DispatchPorts, telemetry: Telemetry = noTelemetry) {
    const { meter } = telemetry;
    const seconds = (name: string, description: string): Histogram =>
      meter.createHistogram(name, { description, advice: { explicitBucketBoundaries: SECONDS_BUCKETS } });
    this.#ports = {
      ...{ ...ports, telemetry },
      duration: seconds(
        'message_duration_seconds',
        'From the arrival of a message until its results are with the broker, or on the disk',
      ),
      wait: seconds(
        'message_wait_seconds',
        'For the message before it, for models and cores, and set aside for more urgent runs',
      ),
      preemptions: meter.createCounter('run_preemptions', {
        description: 'How often runs of messages were set aside for more urgent ones',
      }),
    };
  }

  /** Keeps messages for a trigger that is not ready yet; `set` answers them. */
  hold(name: string, matches: Matches): void {
    if (!this.#routes.has(name)) this.#routes.set(name, new Route(name, matches, undefined, this.#ports));
  }

  /** Adds a trigger, or swaps its pipeline: the message in work is finished by the old one. */
  set(name: string, matches: Matches, pipeline: Pipeline): void {
    const before = this.#routes.get(name);
    const route = new Route(name, matches, pipeline, this.#ports, before?.counter);
    this.#routes.set(name, route);
    if (!before) return;
    this.#retire(before);
    route.succeed(before);
  }

  delete(name: string): void {
    const route = this.#routes.get(name);
    if (!route) return;
    this.#routes.delete(name);
    for (const { answered } of route.empty()) answered();
    this.#retire(route);
  }

  /** Hands the message to every trigger that matches; `answered` is called once all of them are done with it. */
  deliver(message: IncomingMessage, answered: () => void): void {
    if (this.#closed) return;
    const matching = [...this.#routes.values()].filter((route) => route.matches(message.topic));
    let open = matching.length + 1;
    const done = (): void => {
      if (--open === 0) answered();
    };
    const arrivedMs = performance.now();
    for (const route of matching) route.add({ message, arrivedMs, answered: done });
    done();
  }

  /** Resolves when the pipelines that were swapped or deleted have finished their last message. */
  async quiet(): Promise<void> {
    await Promise.all(this.#retired);
  }

  served(): Map<string, Served> {
    return new Map([...this.#routes].map(([name, { counter }]) => [name, counter.served()]));
  }

  metrics(): TriggerMetrics[] {
    return [...this.#routes.values()].map(({ counter }) => counter.read());
  }

  /** What the triggers that run ask of the node. */
  load(serving: Pick<NodeLoad, 'servers' | 'order'>): NodeLoad {
    const running = [...this.#routes.values()].flatMap(({ counter, priority }) =>
      priority === undefined ? [] : [{ counter, priority }],
    );
    return nodeLoad(running, serving, performance.now());
  }

  /** Takes no more; resolves when the messages in work are done. Those in the queues stay unanswered: they come again. */
  async close(): Promise<void> {
    this.#closed = true;
    const working = [...this.#routes.values()].map((route) => {
      route.empty();
      return route.working;
    });
    this.#routes.clear();
    await Promise.all([...working, ...this.#retired]);
  }

  #retire({ working }: Route): void {
    if (!working) return;
    this.#retired.add(working);
    void working.finally(() => this.#retired.delete(working));
  }
}

/** One trigger: the messages that wait for it, and the one that it has in work. */
class Route {
  readonly matches: Matches;
  readonly counter: TriggerCounter;
  /** Settles when the queue is empty. */
  working: Promise<void> | undefined;
  readonly #name: string;
  readonly #pipeline: Pipeline | undefined;
  readonly #ports: RoutePorts;
  #queue: Job[] = [];
  #queuedBytes = 0;
  #queuedQos0 = 0;

  constructor(
    name: string,
    matches: Matches,
    pipeline: Pipeline | undefined,
    ports: RoutePorts,
    counter = createCounter(name),
  ) {
    this.#name = name;
    this.matches = matches;
    this.#pipeline = pipeline;
    this.#ports = ports;
    this.counter = counter;
  }

  add(job: Job): void {
    this.counter.message(performance.now());
    const { payload, qos, topic } = job.message;
    const bytes = payload.byteLength;
    if (bytes > MESSAGE_BYTES_MAX) {
      this.#refuse(topic, `message: expected at most ${MESSAGE_BYTES_MAX} bytes, got ${bytes}`);
      job.answered();
      return;
    }
    if (qos === 0 && this.#queuedQos0 >= QUEUE.qos0)
      this.#drop(this.#queue.findIndex(({ message }) => message.qos === 0));
    while (this.#queue.length > 0 && (this.#queue.length >= QUEUE.messages || this.#queuedBytes + bytes > QUEUE.bytes))
      this.#drop(0);
    this.#put(job);
    this.#begin();
  }

  /** Takes over what waits, to begin when the predecessor has finished its message, so that results keep their order. */
  succeed(before: Route): void {
    const { working } = before;
    for (const job of before.empty()) this.#put(job);
    if (working) this.working = working.then(() => this.#work());
    else this.#begin();
  }

  /** Undefined until it is ready. */
  get priority(): number | undefined {
    return this.#pipeline?.priority;
  }

  empty(): Job[] {
    const waiting = this.#queue;
    this.#queue = [];
    this.#queuedBytes = 0;
    this.#queuedQos0 = 0;
    return waiting;
  }

  #begin(): void {
    if (this.#pipeline && this.#queue.length > 0) this.working ??= this.#work();
  }

  async #work(): Promise<void> {
    for (let job = this.#queue.shift(); job; job = this.#queue.shift()) {
      this.#weigh(job, -1);
      await this.#answer(this.#pipeline as Pipeline, job);
    }
    this.working = undefined;
  }

  async #answer(pipeline: Pipeline, { message, arrivedMs, answered }: Job): Promise<void> {
    const { topic, payload, receivedAt, qos } = message;
    const begunMs = performance.now();
    const trace = traceMessage(this.#ports.telemetry, this.#name, message, arrivedMs);
    try {
      const { traceparent } = trace ?? {};
      const outcome = await pipeline.handle({ topic, payload, receivedAt, traceparent });
      const { results, dropped } = outcome;
      const doneMs = performance.now();
      const waitMs = begunMs - arrivedMs + outcome.waitMs;
      this.counter.computed(doneMs, waitMs, doneMs - arrivedMs - waitMs);
      this.#ports.wait.record(waitMs / 1000, { trigger: this.#name });
      this.#ports.preemptions.add(outcome.preemptions, { trigger: this.#name });
      trace?.step('wait', arrivedMs, begunMs);
      trace?.step('answer', begunMs, doneMs);
      for (const result of results) checkResult(result);
      let open = results.length + 1;
      const safe = (): void => {
        if (--open > 0) return;
        const safeMs = performance.now();
        this.#ports.duration.record((safeMs - arrivedMs) / 1000, { trigger: this.#name });
        if (results.length > 0) trace?.step('publish', doneMs, safeMs);
        trace?.end(safeMs);
        answered();
      };
      // An answer to a QoS 1 message is as safe as the message was.
      const stream = { name: this.#name, urgency: pipeline.priority, ...pipeline.keep };
      for (const { topic, payload, qos: own, retain } of results)
        this.#ports.publish({ topic, payload, qos: own === 1 ? 1 : qos, retain, stream }, safe);
      this.counter.answered(performance.now() - arrivedMs, results.length, results.at(-1)?.summary);
      if (dropped !== undefined) this.counter.dropped(1);
      safe();
    } catch (error) {
      const problem = error instanceof Error ? error.message : String(error);
      trace?.end(performance.now(), problem);
      this.#refuse(topic, problem);
      answered();
    }
  }

  #refuse(topic: string, error: string): void {
    this.counter.failed(error);
    this.#ports.refuse(this.#name, topic, error);
  }

  #put(job: Job): void {
    this.#queue.push(job);
    this.#weigh(job, 1);
  }

  #drop(index: number): void {
    for (const job of this.#queue.splice(index, 1)) {
      this.#weigh(job, -1);
      this.counter.dropped(1);
      job.answered();
    }
  }

  #weigh({ message }: Job, sign: 1 | -1): void {
    this.#queuedBytes += sign * message.payload.byteLength;
    if (message.qos === 0) this.#queuedQos0 += sign;
  }
}

/** Throws an Error when no broker could be expected to take the result. */
function checkResult({ topic, payload }: Result): void {
  const fail = (problem: string): never => {
    throw new Error(`output.topic "${topic.slice(0, 100)}": ${problem}`);
  };
  if (topic === '') fail('expected at least one character');
  // MQTT 3.1.1, 4.7.2: such topics belong to the broker. A level of the message's topic may have brought the "$" along.
  if (topic.startsWith('$')) fail('expected a topic that does not begin with "$"; put a level of your own in front');
  const levels = topic.split('/').length;
  if (levels > RESULT.topicLevels) fail(`expected at most ${RESULT.topicLevels} levels, got ${levels}`);
  const topicBytes = Buffer.byteLength(topic);
  if (topicBytes > RESULT.topicBytes) fail(`expected at most ${RESULT.topicBytes} bytes, got ${topicBytes}`);
  if (payload.byteLength > RESULT.payloadBytes)
    fail(
      `its result takes ${payload.byteLength} bytes, at most ${RESULT.payloadBytes} fit; publish fewer fields or tensors`,
    );
}
