/** Wires a node: the machines of runtime/node with this machine's clock, disk, engine and broker. */
import assert from 'node:assert';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as setTimeoutAsync } from 'node:timers/promises';
import type { Logger } from 'pino';
import packageFile from '../../package.json' with { type: 'json' };
import type { Engine } from '../../runtime/engine/engine.ts';
import type { Model } from '../../runtime/engine/model.ts';
import { type Broker, createBroker } from '../../runtime/node/broker-io.ts';
import { parseBrokerUrl } from '../../runtime/node/broker-stream-io.ts';
import { createControl } from '../../runtime/node/control.ts';
import { createConverge } from '../../runtime/node/converge.ts';
import { openDelivery } from '../../runtime/node/delivery.ts';
import { checkDesired } from '../../runtime/node/desired.ts';
import { createDispatch } from '../../runtime/node/dispatch.ts';
import { takeInventory } from '../../runtime/node/inventory-io.ts';
import type { CheckedDesired } from '../../runtime/node/reconcile.ts';
import { createRequests } from '../../runtime/node/requests.ts';
import { createSubscriptions } from '../../runtime/node/subscriptions.ts';
import { nameSchema } from '../../runtime/protocol/messages.ts';
import { type Blobs, openBlobs } from '../../runtime/store/blobs.ts';
import { openState, type State } from '../../runtime/store/state.ts';
import type { Trigger } from '../../runtime/triggers/schema.ts';
import type { LoadedModel } from '../../runtime/triggers/stage.ts';
import { parseFilter } from '../../runtime/triggers/topic-filter.ts';
import { readLocal } from './local.ts';
import { lockFolder } from './lock.ts';

const METRICS_MS = 2_000;
const REPORT_DELAY_MS = 50;
/** The broker is joined when what is on disk runs, so that what it kept for us meets its triggers; or after this. */
const READY_MS_MAX = 15_000;
/** What is in work at the end may still finish; after this it comes again at the next start. */
const CLOSE_MS = 300;
/** A connection that ends so soon was probably ended by a second node of the same name [MQTT-3.1.4-2]. */
const SHORT_CONNECTION_MS = 2_000;

export interface NodeOptions {
  readonly name: string;
  readonly broker: string;
  /** Folder for everything the node keeps; made when absent. */
  readonly data: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Folders of the node's own models and triggers (local.ts). */
  readonly models?: string | undefined;
  readonly triggers?: string | undefined;
  readonly log: Logger;
}

export interface RunningNode {
  /** Says goodbye, writes what waits and lets go of everything. */
  close(): Promise<void>;
}

/** Resolves when the node works; the broker need not be there. Rejects when the options or the data folder are no good. */
export async function startNode(options: NodeOptions): Promise<RunningNode> {
  const { name, data, log } = options;
  if (!nameSchema.safeParse(name).success)
    throw new Error(`node name "${name}": expected letters, digits, _ and - only, 1 to 64 of them`);
  parseBrokerUrl(options.broker);
  await mkdir(data, { recursive: true });
  const releases = [lockFolder(data)];
  const release = (): void => {
    for (const each of releases.splice(0).reverse()) each();
  };
  try {
    const state = openState(join(data, 'state.db'));
    releases.push(state.close);
    const blobs = await openBlobs(join(data, 'blobs'));
    const local = await readLocal(options, blobs, (error) => log.error({ err: error }, 'a local file was left out'));
    const node = wire(options, state, blobs);
    await node.start(readDesired(state, name, log), local);
    let closing: Promise<void> | undefined;
    const close = (): Promise<void> => {
      closing ??= node.close().finally(release);
      return closing;
    };
    return { close };
  } catch (error) {
    release();
    throw error;
  }
}

function readDesired(state: State, name: string, log: Logger): CheckedDesired | null {
  const kept = state.get('desired');
  if (kept === undefined) return null;
  try {
    return checkDesired(`node ${name}, kept desired state`, new TextEncoder().encode(JSON.stringify(kept)));
  } catch (error) {
    log.error({ err: error }, 'the kept desired state cannot be read; waiting for the controller');
    return null;
  }
}

type Pipelines = typeof import('../../runtime/triggers/pipeline.ts');

/** The engine, and what triggers are made of, come with the first model: an idle node stays small. */
function createLoader(log: Logger) {
  let engine: Promise<Engine> | undefined;
  const create = async (): Promise<Engine> => {
    const { createEngine } = await import('../../runtime/engine/engine.ts');
    const made = await createEngine();
    log.info({ build: made.info.build, notes: made.info.notes }, 'engine ready');
    loader.simd = made.info.build;
    return made;
  };
  let pipelines: Pipelines | undefined;
  const loader = {
    simd: 'not loaded yet',
    /** No trigger starts before its models are loaded. */
    createPipeline(...parameters: Parameters<Pipelines['createPipeline']>) {
      assert(pipelines, 'a trigger was started before any model was loaded');
      return pipelines.createPipeline(...parameters);
    },
    async load(content: Uint8Array, name: string): Promise<Model> {
      const { loadModel } = await import('../../runtime/offload/load.ts');
      pipelines = await import('../../runtime/triggers/pipeline.ts');
      engine ??= create();
      return loadModel(await engine, content, { name });
    },
    async close(): Promise<void> {
      const made = await engine?.catch(() => undefined);
      await made?.close();
    },
  };
  return loader;
}

function wire({ name, broker: url, labels = {}, data, log }: NodeOptions, state: State, blobs: Blobs) {
  const startedMs = performance.now();
  const running = new Map<string, Trigger>();
  const loader = createLoader(log);
  let reportTimer: NodeJS.Timeout | undefined;
  let connectedMs = 0;
  const fail = (message: string, error?: Error): void => log.error({ err: error }, message);

  const delivery = openDelivery({
    file: join(data, 'queue.db'),
    handle(message, answered) {
      if (!control.receive(message, answered)) dispatch.deliver(message, answered);
    },
    onDisk(error) {
      if (error) log.error({ err: error }, 'the queue cannot be written; QoS 1 messages wait unacknowledged');
      else log.info('the queue can be written again');
    },
  });
  const dispatch = createDispatch({
    publish: (message, safe) => delivery.outgoing.publish(message, safe),
    refuse(trigger, topic, error) {
      log.debug({ trigger, topic, error }, 'a message could not be answered');
      control.messageError(trigger, topic, error);
    },
  });
  const subscribe = (): void => {
    const filters: Record<string, 0 | 1> = {};
    for (const { topic, qos } of running.values()) {
      const { mqtt } = parseFilter(topic);
      filters[mqtt] = qos === 1 ? 1 : (filters[mqtt] ?? 0);
    }
    subscriptions.want(filters);
  };
  const startTrigger = (trigger: Trigger, models: Readonly<Record<string, LoadedModel>>): void => {
    const pipeline = loader.createPipeline(trigger, { node: name, models: (model) => models[model] as LoadedModel });
    const { match } = parseFilter(trigger.topic);
    dispatch.set(trigger.name, (topic) => match(topic) !== undefined, pipeline);
    running.set(trigger.name, trigger);
    subscribe();
    log.info({ trigger: trigger.name, topic: trigger.topic }, 'trigger started');
  };
  const stopTrigger = (trigger: string): void => {
    dispatch.delete(trigger);
    running.delete(trigger);
    subscribe();
    log.info({ trigger }, 'trigger stopped');
  };
  const converge = createConverge(name, {
    blobs,
    now: Date.now,
    loadModel: loader.load,
    startTrigger,
    stopTrigger,
    quiet: dispatch.quiet,
    saveDesired: (desired) => state.set('desired', desired),
    reportChanged() {
      reportTimer ??= setTimeout(() => {
        reportTimer = undefined;
        control.report();
      }, REPORT_DELAY_MS);
    },
    log: fail,
  });
  const requests = createRequests({
    node: name,
    now: Date.now,
    createPipeline: loader.createPipeline,
    loaded: converge.loaded,
    readyModels: () => converge.describe().models.flatMap((model) => (model.state === 'ready' ? [model.name] : [])),
    triggers: () => [...running.values()],
    fetchInput: (sha256) => fetchInput(blobs, converge.desired, sha256),
  });
  const control = createControl({
    node: name,
    labels,
    now: Date.now,
    inventory: () => takeInventory(packageFile.version, loader.simd),
    converge,
    requests,
    send: (message) => broker.send(message, () => {}),
    log: fail,
  });
  const subscribeToController = (): void => {
    broker.subscribe(control.filters).then(
      (refused) => refused.length > 0 && log.error({ refused }, 'the broker keeps this node from its controller'),
      () => log.debug('the connection ended before the broker confirmed the subscriptions'),
    );
  };
  const broker: Broker = createBroker({
    url,
    clientId: name,
    will: () => control.presence(false),
    onConnected(resumed) {
      connectedMs = performance.now();
      log.info({ broker: withoutPassword(url), resumed }, 'connected to the broker');
      control.announce();
      subscribeToController();
      subscriptions.connected(resumed);
      delivery.outgoing.connected(broker);
    },
    onDisconnected(reason, retryMs) {
      const short = connectedMs > 0 && performance.now() - connectedMs < SHORT_CONNECTION_MS;
      connectedMs = 0;
      const hint = short ? `; is another node named "${name}" connected?` : '';
      const where = withoutPassword(url);
      log.warn({ broker: where, retryMs: Math.round(retryMs) }, `no connection to the broker: ${reason}${hint}`);
      delivery.outgoing.disconnected();
      delivery.incoming.disconnected();
    },
    onMessage: delivery.incoming.receive,
  });
  const subscriptions = createSubscriptions({
    connected: () => broker.connected,
    subscribe: broker.subscribe,
    unsubscribe: broker.unsubscribe,
    load: () => (state.get('subscriptions') as string[] | undefined) ?? [],
    save(filters) {
      try {
        state.set('subscriptions', filters);
      } catch (error) {
        fail('the list of subscriptions could not be saved', error as Error);
      }
    },
    onRefused: (filter) => log.error({ filter }, 'the broker refused a subscription; its trigger gets no messages'),
  });

  const metricsTimer = setInterval(() => {
    if (!broker.connected) return;
    control.metrics({
      uptimeMs: performance.now() - startedMs,
      residentBytes: process.memoryUsage.rss(),
      outboxItems: delivery.outboxItems,
      triggers: dispatch.metrics(),
    });
  }, METRICS_MS);
  let joining: NodeJS.Timeout | undefined;
  const enter = (deadlineMs: number): void => {
    if (!converge.idle && performance.now() < deadlineMs) {
      joining = setTimeout(() => enter(deadlineMs), 10);
      return;
    }
    delivery.incoming.replay();
    broker.start().catch((error: Error) => fail('the broker cannot be reached', error));
  };

  return {
    async start(desired: CheckedDesired | null, local: Parameters<typeof converge.start>[1]): Promise<void> {
      await converge.start(desired, local);
      enter(performance.now() + READY_MS_MAX);
    },
    async close(): Promise<void> {
      clearTimeout(joining);
      clearTimeout(reportTimer);
      clearInterval(metricsTimer);
      await Promise.race([dispatch.close(), setTimeoutAsync(CLOSE_MS, undefined, { ref: false })]);
      await broker.close(control.presence(false));
      delivery.outgoing.disconnected();
      delivery.close();
      await Promise.race([converge.close().then(loader.close), setTimeoutAsync(CLOSE_MS, undefined, { ref: false })]);
    },
  };
}

/** An input that was uploaded to the controller for one request; not kept. */
async function fetchInput(blobs: Blobs, desired: CheckedDesired | null, sha256: string): Promise<Uint8Array> {
  if (!desired) throw new Error('an input by hash needs a controller, and none has spoken to this node yet');
  await blobs.download(desired.files, sha256, undefined);
  const content = await blobs.read(sha256);
  if (!desired.models.some((model) => model.sha256 === sha256)) await blobs.remove(sha256);
  return content;
}

function withoutPassword(url: string): string {
  const shown = new URL(url);
  if (shown.password) shown.password = '***';
  return shown.href;
}
