/**
 * Brings each message to the triggers whose filter it matches. Every trigger has a queue of its own and handles one message
 * at a time, because windows and recurrent state make order matter. Queues are bounded, and what had to go is counted: of
 * QoS 0 messages, whose sender cares for the latest, the oldest soon makes room; QoS 1 messages, which are journalled, only
 * when as many wait as the journal holds.
 */

import type { TriggerMetrics } from '../protocol/messages.ts';
import type { Pipeline } from '../triggers/pipeline.ts';
import type { IncomingMessage } from './incoming.ts';
import { createCounter, type TriggerCounter } from './metrics.ts';
import type { OutgoingMessage } from './outgoing.ts';

const QUEUE = { qos0: 256, messages: 10_000, bytes: 64 * 2 ** 20 };
/** A sensor message larger than this is refused. */
export const MESSAGE_BYTES_MAX = 32 * 2 ** 20;

interface Job {
  readonly message: IncomingMessage;
  readonly arrivedMs: number;
  readonly answered: () => void;
}

interface Route {
  readonly matches: (topic: string) => boolean;
  pipeline: Pipeline;
  readonly counter: TriggerCounter;
  readonly queue: Job[];
  queuedBytes: number;
  queuedQos0: number;
  working: Promise<void> | undefined;
}

export interface DispatchPorts {
  /** `safe` is called when the result is confirmed or durable. */
  publish(message: OutgoingMessage, safe: () => void): void;
  /** A message could not be answered. */
  refuse(trigger: string, topic: string, error: string): void;
}

export interface Dispatch {
  /** Adds a trigger, or swaps its pipeline: the message in work is finished by the old one. */
  set(name: string, matches: (topic: string) => boolean, pipeline: Pipeline): void;
  delete(name: string): void;
  /** Hands the message to every trigger that matches; `answered` is called once all of them are done with it. */
  deliver(message: IncomingMessage, answered: () => void): void;
  /** Resolves when the pipelines that were swapped or deleted have finished their last message. */
  quiet(): Promise<void>;
  metrics(): TriggerMetrics[];
  /** Takes no more; resolves when the messages in work are done. Those in the queues stay unanswered: they come again. */
  close(): Promise<void>;
}

export function createDispatch({ publish, refuse }: DispatchPorts): Dispatch {
  const routes = new Map<string, Route>();
  const retired = new Set<Promise<void>>();
  let closed = false;

  const fail = (name: string, { counter }: Route, topic: string, error: unknown): void => {
    const text = error instanceof Error ? error.message : String(error);
    counter.failed(text);
    refuse(name, topic, text);
  };
  const answer = async (name: string, route: Route, job: Job): Promise<void> => {
    const { topic, payload, receivedAt, qos } = job.message;
    try {
      const { results, dropped } = await route.pipeline.handle({ topic, payload, receivedAt });
      let open = results.length + 1;
      const safe = (): void => {
        if (--open === 0) job.answered();
      };
      // An answer to a QoS 1 message is as safe as the message was.
      for (const { topic, payload, qos: own, retain } of results)
        publish({ topic, payload, qos: own === 1 ? 1 : qos, retain }, safe);
      route.counter.answered(performance.now() - job.arrivedMs, results.length, results.at(-1)?.summary);
      if (dropped !== undefined) route.counter.dropped(1);
      safe();
    } catch (error) {
      fail(name, route, topic, error);
      job.answered();
    }
  };
  const work = async (name: string, route: Route): Promise<void> => {
    for (let job = route.queue.shift(); job; job = route.queue.shift()) {
      weigh(route, job, -1);
      await answer(name, route, job);
    }
    route.working = undefined;
  };
  const drop = (route: Route, index: number): void => {
    for (const job of route.queue.splice(index, 1)) {
      weigh(route, job, -1);
      route.counter.dropped(1);
      job.answered();
    }
  };
  const enqueue = (name: string, route: Route, job: Job): void => {
    route.counter.message();
    const bytes = job.message.payload.byteLength;
    if (bytes > MESSAGE_BYTES_MAX) {
      fail(
        name,
        route,
        job.message.topic,
        new Error(`message: expected at most ${MESSAGE_BYTES_MAX} bytes, got ${bytes}`),
      );
      job.answered();
      return;
    }
    if (job.message.qos === 0 && route.queuedQos0 >= QUEUE.qos0)
      drop(
        route,
        route.queue.findIndex((waiting) => waiting.message.qos === 0),
      );
    while (route.queue.length > 0 && (route.queue.length >= QUEUE.messages || route.queuedBytes + bytes > QUEUE.bytes))
      drop(route, 0);
    route.queue.push(job);
    weigh(route, job, 1);
    route.working ??= work(name, route);
  };
  const retire = (route: Route): void => {
    const { working } = route;
    if (!working) return;
    retired.add(working);
    void working.finally(() => retired.delete(working));
  };

  return {
    set(name, matches, pipeline) {
      const before = routes.get(name);
      const { queuedBytes = 0, queuedQos0 = 0, counter = createCounter(name) } = before ?? {};
      const queue = before?.queue.splice(0) ?? [];
      if (before) retire(before);
      const route: Route = { matches, pipeline, counter, queue, queuedBytes, queuedQos0, working: undefined };
      routes.set(name, route);
      // The successor begins when its predecessor has finished, so that results keep their order.
      if (before?.working) route.working = before.working.then(() => work(name, route));
    },
    delete(name) {
      const route = routes.get(name);
      if (!route) return;
      for (const job of route.queue.splice(0)) job.answered();
      retire(route);
      routes.delete(name);
    },
    deliver(message, answered) {
      if (closed) return;
      const matching = [...routes].filter(([, route]) => route.matches(message.topic));
      let open = matching.length + 1;
      const done = (): void => {
        if (--open === 0) answered();
      };
      const arrivedMs = performance.now();
      for (const [name, route] of matching) enqueue(name, route, { message, arrivedMs, answered: done });
      done();
    },
    async quiet() {
      await Promise.all(retired);
    },
    async close() {
      const working = [...retired, ...[...routes.values()].map((route) => route.working)];
      for (const route of routes.values()) route.queue.length = 0;
      routes.clear();
      closed = true;
      await Promise.all(working);
    },
    metrics: () => [...routes.values()].map(({ counter }) => counter.read()),
  };
}

function weigh(route: Route, { message }: Job, sign: 1 | -1): void {
  route.queuedBytes += sign * message.payload.byteLength;
  if (message.qos === 0) route.queuedQos0 += sign;
}
