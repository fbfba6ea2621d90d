/**
 * The node's side of the conversation with its controller: presence, reported state, metrics, desired state, requests
 * (topics: runtime/protocol/topics.ts). None of it needs the outbox: every connection begins by saying all of it again.
 */
import type {
  DesiredState,
  Hold,
  Inventory,
  MessageError,
  Metrics,
  Presence,
  ReportedState,
} from '../protocol/messages.ts';
import { holdSchema, parsePayload, type Request, requestSchema } from '../protocol/messages.ts';
import { type Content, envelopeOf, type TaskEvent } from '../protocol/tasks.ts';
import { errorTopic, nodeTopic } from '../protocol/topics.ts';
import { traceWork } from '../telemetry/message-trace.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Converge } from './converge.ts';
import { checkDesired } from './desired.ts';
import type { IncomingMessage } from './incoming.ts';
import type { OutgoingMessage } from './outgoing.ts';
import type { Requests } from './requests.ts';
import type { NodeSettings } from './settings.ts';
import type { TaskRunner } from './task-runner.ts';

export interface ControlOptions {
  readonly node: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly now: () => number;
  inventory(): Inventory;
  readonly converge: Converge;
  readonly requests: Requests;
  readonly settings: Pick<NodeSettings, 'want' | 'describe'>;
  /** Undefined where this process cannot be replaced by another version. */
  readonly software: Software | undefined;
  readonly tasks: Pick<TaskRunner, 'receive' | 'connected'>;
  readonly telemetry: Telemetry;
  /** A new one for every message. */
  newId(): string;
  /** Sends when the broker is there, else forgets. */
  send(message: OutgoingMessage): void;
  log(message: string, error?: Error): void;
}

interface Software {
  want(software: DesiredState['software'], files: string): void;
  describe(): ReportedState['software'];
}

export interface Control {
  presence(online: boolean): OutgoingMessage;
  /** Filters to subscribe on every connection: the broker then sends the desired state again. */
  readonly filters: Readonly<Record<string, 1>>;
  announce(): void;
  report(): void;
  /** Messages of the controller that did not fit their schema. */
  readonly refusedMessages: number;
  metrics(counts: Omit<Metrics, 'at' | 'refusedMessages'>): void;
  taskEvent(content: Content<TaskEvent>): void;
  messageError(trigger: string, topic: string, error: string): void;
  /** True when the message was for the node itself. `done` is called when it is dealt with. */
  receive(message: IncomingMessage, done: () => void): boolean;
}

export function createControl(options: ControlOptions): Control {
  const { node, converge, now, log } = options;
  const desired = nodeTopic(node, 'desired');
  const requests = nodeTopic(node, 'requests');
  const tasks = nodeTopic(node, 'tasks');
  const hold = nodeTopic(node, 'hold');

  const json = (topic: string, value: unknown, qos: 0 | 1, retain: boolean): OutgoingMessage => ({
    topic,
    payload: new TextEncoder().encode(JSON.stringify(value)),
    qos,
    retain,
  });
  const presence = (online: boolean): OutgoingMessage =>
    json(nodeTopic(node, 'presence'), { online, at: now() } satisfies Presence, 1, true);
  const report = (): void => {
    const trials = converge.trials();
    const settings = options.settings.describe();
    const reported: ReportedState = {
      at: now(),
      labels: { ...options.labels },
      features: ['tasks', 'hold', 'trials', 'settings', ...(options.software ? ['software'] : [])],
      inventory: options.inventory(),
      desiredVersion: converge.reached,
      ...converge.describe(),
      ...(converge.held !== null && { held: converge.held }),
      ...(trials.length > 0 && { trials }),
      ...(settings.length > 0 && { settings }),
      ...(options.software && { software: options.software.describe() }),
    };
    options.send(json(nodeTopic(node, 'reported'), reported, 1, true));
  };
  const answer = async (request: Request): Promise<void> => {
    const reply = await traceWork(
      options.telemetry,
      `infer ${request.model}`,
      request.traceparent,
      () => options.requests.answer(request),
      (answered) => (answered.ok ? undefined : answered.error),
    );
    options.send(json(nodeTopic(node, 'replies'), reply, 1, false));
  };
  const obeyDesired = ({ topic, payload }: IncomingMessage): void => {
    converge.desire(checkDesired(topic, payload));
    // Not what came, which may be older: what counts.
    const { desired: counts } = converge;
    options.settings.want(counts?.settings);
    if (counts) options.software?.want(counts.software, counts.files);
  };
  const obeyHold = ({ hold: isHeld, reason }: Hold): void => converge.hold(isHeld ? reason : null);
  let refusedMessages = 0;
  const take = (message: IncomingMessage): void => {
    // An empty retained message is how MQTT deletes one; a deleted desired state deletes nothing here.
    if (message.payload.byteLength === 0) return;
    try {
      if (message.topic === desired) obeyDesired(message);
      else if (message.topic === hold) obeyHold(parsePayload(holdSchema, message.topic, message.payload));
      else if (message.topic === tasks) options.tasks.receive(message.topic, message.payload);
      else if (message.topic === requests) void answer(parsePayload(requestSchema, message.topic, message.payload));
    } catch (error) {
      refusedMessages++;
      log('a message from the controller was refused', error as Error);
      const id = message.topic === requests ? idOf(message.payload) : undefined;
      if (id === undefined) return;
      options.send(json(nodeTopic(node, 'replies'), { id, ok: false, error: (error as Error).message }, 1, false));
    }
  };

  return {
    presence,
    filters: { [desired]: 1, [requests]: 1, [tasks]: 1, [hold]: 1 },
    announce() {
      options.send(presence(true));
      report();
      options.tasks.connected();
    },
    report,
    get refusedMessages() {
      return refusedMessages;
    },
    metrics: (counts) =>
      options.send(
        json(nodeTopic(node, 'metrics'), { at: now(), ...counts, refusedMessages } satisfies Metrics, 0, false),
      ),
    taskEvent(content) {
      const event = envelopeOf<TaskEvent>(content, `/nodes/${node}`, options.newId(), now());
      options.send(json(nodeTopic(node, 'task-events'), event, 1, false));
    },
    messageError: (trigger, topic, error) =>
      options.send(
        json(errorTopic(node, trigger), { at: now(), node, trigger, topic, error } satisfies MessageError, 0, false),
      ),
    receive(message, done) {
      if (!message.topic.startsWith('llmasos/')) return false;
      take(message);
      done();
      return true;
    },
  };
}

/** The id of a request that is otherwise malformed, so that its sender learns why. */
function idOf(payload: Uint8Array): string | undefined {
  try {
    const { id } = JSON.parse(new TextDecoder().decode(payload)) as { id?: unknown };
    return typeof id === 'string' ? id : undefined;
  } catch {
    return undefined;
  }
}
