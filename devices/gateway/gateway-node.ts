/** Wires a node: the machines of runtime/node with this machine's clock, disk, engine and broker. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Logger } from 'pino';
import packageFile from '../../package.json' with { type: 'json' };
import { Broker } from '../../runtime/node/broker-io.ts';
import { withoutPassword } from '../../runtime/node/broker-stream-io.ts';
import { type Control, createControl } from '../../runtime/node/control.ts';
import { Converge, type Kept } from '../../runtime/node/converge.ts';
import { type Delivery, openDelivery } from '../../runtime/node/delivery.ts';
import { Dispatch } from '../../runtime/node/dispatch.ts';
import { simdOfHost, takeInventory } from '../../runtime/node/inventory-io.ts';
import { observeNode } from '../../runtime/node/node-metrics.ts';
import { createRequests, type Requests } from '../../runtime/node/requests.ts';
import { NodeSettings } from '../../runtime/node/settings.ts';
import { createSubscriptions, type Subscriptions } from '../../runtime/node/subscriptions.ts';
import { TaskRunner } from '../../runtime/node/task-runner.ts';
import { openTaskStore, type TaskStore } from '../../runtime/node/task-store.ts';
import { doWork } from '../../runtime/node/task-work.ts';
import type { Inventory } from '../../runtime/protocol/messages.ts';
import type { SettingName, Settings } from '../../runtime/protocol/settings.ts';
import type { Blobs } from '../../runtime/store/blobs.ts';
import { openSoftwareStore } from '../../runtime/store/software.ts';
import type { State } from '../../runtime/store/state.ts';
import { traceWork } from '../../runtime/telemetry/message-trace.ts';
import { noTelemetry, type Telemetry } from '../../runtime/telemetry/telemetry.ts';
import { Loader, type LoaderOptions } from './loader.ts';
import type { Local } from './local.ts';
import { RunningTriggers } from './running-triggers.ts';
import { type LauncherPort, SoftwareUpdates } from './software-updates.ts';
import { ToldMetrics } from './told-metrics.ts';

const TASKS_MS = 1_000;
const SUBSCRIBE_AGAIN_MS = 5_000;
const REPORT_DELAY_MS = 50;
/** What is in work at the end may still finish; after this it comes again at the next start. */
const CLOSE_MS = 250;
/** A connection that ends so soon was probably ended by a second node of the same name [MQTT-3.1.4-2]. */
const SHORT_CONNECTION_MS = 2_000;

export interface NodeOptions extends LoaderOptions {
  readonly name: string;
  readonly broker: string;
  /** Folder for everything the node keeps; made when absent. */
  readonly data: string;
  readonly labels?: Readonly<Record<string, string>>;
  /** Folders of the node's own models and triggers (local.ts). */
  readonly models?: string | undefined;
  readonly triggers?: string | undefined;
  /** What the command line says of settings: it wins over the controller. */
  readonly settings?: Settings;
  /** Where the launcher has started this process: it can be replaced by another version. */
  readonly launcher?: LauncherPort | undefined;
  readonly log: Logger;
  /** The newest lines of that log, where they are kept. */
  readonly logLines?: (count: number) => string[];
  readonly telemetry?: Telemetry | undefined;
}

export class GatewayNode {
  readonly #options: NodeOptions;
  readonly #state: State;
  readonly #blobs: Blobs;
  readonly #log: Logger;
  readonly #telemetry: Telemetry;
  readonly #loader: Loader;
  readonly #delivery: Delivery;
  readonly #dispatch: Dispatch;
  readonly #converge: Converge;
  readonly #requests: Requests;
  readonly #taskStore: TaskStore;
  readonly #tasks: TaskRunner;
  readonly #taskTimer: NodeJS.Timeout;
  readonly #control: Control;
  readonly #broker: Broker;
  readonly #subscriptions: Subscriptions;
  readonly #triggers: RunningTriggers;
  readonly #settings: NodeSettings;
  readonly #software: SoftwareUpdates | undefined;
  readonly #told: ToldMetrics;
  readonly #hostSimd = simdOfHost();
  #gpu: Inventory['gpu'] = { usable: false, detail: 'not tried yet' };
  #reportTimer: NodeJS.Timeout | undefined;
  #closed = false;
  #connectedMs: number | undefined;

  /** Throws an Error when the queue's file cannot be opened. */
  constructor(options: NodeOptions, state: State, blobs: Blobs) {
    this.#options = options;
    this.#state = state;
    this.#blobs = blobs;
    this.#log = options.log;
    this.#telemetry = options.telemetry ?? noTelemetry;
    this.#loader = new Loader(options.log, options.data, options);
    this.#delivery = openDelivery({
      file: join(options.data, 'queue.db'),
      handle: (message, answered) => {
        if (this.#control.receive(message, answered)) return;
        if (message.retain && this.#subscriptions.isRepeat(message)) answered();
        else this.#dispatch.deliver(message, answered);
      },
      onDisk: this.#onDisk,
      now: Date.now,
    });
    this.#dispatch = new Dispatch({ publish: this.#delivery.outgoing.publish, refuse: this.#refuse }, this.#telemetry);
    this.#triggers = new RunningTriggers({
      node: options.name,
      createPipeline: this.#loader.createPipeline,
      dispatch: this.#dispatch,
      subscribe: (filters) => this.#subscriptions.want(filters),
      log: options.log,
    });
    this.#converge = this.#createConverge();
    this.#requests = this.#createRequests();
    this.#taskStore = openTaskStore(join(options.data, 'tasks.db'));
    this.#tasks = this.#createTasks();
    this.#told = this.#createMetrics();
    this.#settings = this.#createSettings();
    this.#software = options.launcher && this.#createSoftware(options.launcher);
    this.#control = this.#createControl();
    this.#broker = new Broker({
      url: options.broker,
      clientId: options.name,
      will: () => this.#control.presence(false),
      onConnected: this.#onConnected,
      onDisconnected: this.#onDisconnected,
      onMessage: this.#delivery.incoming.receive,
    });
    this.#subscriptions = this.#createSubscriptions();
    observeNode(this.#telemetry.meter, () => ({
      connected: this.#broker.connected,
      counts: { ...this.#counts(), refusedMessages: this.#control.refusedMessages },
      models: this.#converge.describe().models,
    }));
    this.#taskTimer = setInterval(() => {
      this.#tasks.tick();
      this.#software?.tick();
    }, TASKS_MS);
  }

  async start(kept: Kept, local: Local): Promise<void> {
    this.#settings.want(kept.desired?.settings);
    if (kept.desired) this.#software?.want(kept.desired.software, kept.desired.files);
    await this.#converge.start(kept, local, this.#options.launcher?.launched.isTrial);
    this.#findGpu().catch((error: Error) => this.#fail('the GPU could not be tried', error));
    this.#delivery.incoming.replay();
    this.#tasks.start();
    this.#broker.start().catch((error: Error) => this.#fail('the broker cannot be reached', error));
  }

  async close(): Promise<void> {
    this.#closed = true;
    if (this.#reportTimer) this.#control.report();
    clearTimeout(this.#reportTimer);
    this.#told.close();
    clearInterval(this.#taskTimer);
    this.#tasks.close();
    this.#software?.close();
    await Promise.race([this.#dispatch.close(), pause(CLOSE_MS, undefined, { ref: false })]);
    await this.#broker.close(this.#control.presence(false));
    this.#delivery.outgoing.disconnected();
    this.#delivery.close();
    this.#taskStore.close();
    const unloaded = this.#converge.close().then(() => this.#loader.close());
    await Promise.race([unloaded, pause(CLOSE_MS, undefined, { ref: false })]);
  }

  #createConverge(): Converge {
    return new Converge(this.#options.name, {
      blobs: this.#blobs,
      now: Date.now,
      loadModel: this.#loader.load,
      holdTrigger: this.#triggers.hold,
      startTrigger: this.#triggers.start,
      stopTrigger: this.#triggers.stop,
      startTrial: this.#triggers.startTrial,
      stopTrial: this.#triggers.stopTrial,
      compared: this.#triggers.compared,
      quiet: this.#triggers.quiet,
      saveDesired: (desired) => this.#state.set('desired', desired),
      saveProofs: (proofs) => this.#state.set('proofs', [...proofs]),
      saveHold: (hold) => this.#state.set('hold', hold),
      served: () => this.#dispatch.served(),
      reportChanged: this.#reportSoon,
      log: this.#fail,
    });
  }

  /** Those of the last desired state are in force before there is a connection. */
  #createSettings(): NodeSettings {
    const ownLevel = this.#log.level;
    const apply = (settings: Settings): ReadonlySet<SettingName> => {
      this.#log.level = settings.logLevel ?? ownLevel;
      this.#told.every(settings.metricsIntervalMs);
      return this.#loader.configure(settings);
    };
    const save = (taken: Settings): void => {
      try {
        this.#state.set('settings', taken);
      } catch (error) {
        this.#fail('settings could not be saved', error as Error);
      }
    };
    const kept = (this.#state.get('settings') as Record<string, unknown> | undefined) ?? {};
    return new NodeSettings({ flags: this.#options.settings ?? {}, apply, save }, kept);
  }

  #createSoftware(launcher: LauncherPort): SoftwareUpdates {
    const ports = {
      ...{ launcher, now: Date.now, reportChanged: this.#reportSoon },
      proved: () => this.#converge.programProved(),
      items: () => this.#converge.items(),
      openStore: () => openSoftwareStore(join(this.#options.data, 'software')),
      held: () => this.#converge.held,
      connected: () => this.#broker.connected,
      saveReady: (ready: readonly string[]) => this.#state.set('ready-before', ready),
      log: (message: string, error?: Error) => (error ? this.#fail(message, error) : this.#log.info(message)),
    };
    return new SoftwareUpdates(ports, (this.#state.get('ready-before') as string[] | undefined) ?? []);
  }

  #reportSoon = (): void => {
    this.#reportTimer ??= setTimeout(() => {
      this.#reportTimer = undefined;
      this.#control.report();
    }, REPORT_DELAY_MS);
  };

  /** A computation in a process of its own, seconds on a machine whose GPU is slow to start. */
  async #findGpu(): Promise<void> {
    const { probeGpu } = await import('../../runtime/offload/probe.ts');
    this.#gpu = await probeGpu();
    if (!this.#closed) this.#reportSoon();
  }

  #createControl(): Control {
    return createControl({
      node: this.#options.name,
      labels: this.#options.labels ?? {},
      now: Date.now,
      inventory: () =>
        takeInventory(packageFile.version, { gpu: this.#gpu, simd: this.#loader.simd ?? this.#hostSimd }),
      converge: this.#converge,
      requests: this.#requests,
      settings: this.#settings,
      software: this.#software,
      tasks: this.#tasks,
      telemetry: this.#telemetry,
      newId: randomUUID,
      send: (message) => this.#broker.send(message, () => {}),
      log: this.#fail,
    });
  }

  #createTasks(): TaskRunner {
    const commands = {
      logLines: this.#options.logLines ?? (() => []),
      setLogLevel: (level: string) => {
        this.#log.level = level;
      },
      recentRuns: this.#loader.recentRuns,
      hold: (reason: string | null) => this.#converge.hold(reason),
    };
    const ports = {
      node: this.#options.name,
      store: this.#taskStore,
      now: Date.now,
      send: (content: Parameters<Control['taskEvent']>[0]) => this.#control.taskEvent(content),
      log: this.#fail,
    };
    const run: ConstructorParameters<typeof TaskRunner>[0]['run'] = (assignment, signal, done) =>
      void traceWork(
        this.#telemetry,
        `unit ${assignment.unit}`,
        assignment.traceparent,
        () =>
          doWork(assignment, signal, {
            requests: this.#requests,
            commands,
            modelState: this.#modelState,
            software: () => this.#software?.describe(),
          }),
        (outcome) => (outcome.state === 'failed' ? outcome.error : undefined),
      ).then(done);
    return new TaskRunner({ ...ports, run }, this.#taskStore.load());
  }

  #modelState = (name: string): string | undefined =>
    this.#converge.describe().models.find((model) => model.name === name)?.state;

  #createRequests(): Requests {
    const converge = this.#converge;
    return createRequests({
      node: this.#options.name,
      now: Date.now,
      createPipeline: this.#loader.createPipeline,
      loaded: converge.loaded,
      readyModels: () => converge.describe().models.flatMap(({ state, name }) => (state === 'ready' ? [name] : [])),
      triggers: () => this.#triggers.running,
      fetchInput: (sha256) => fetchInput(this.#blobs, converge.desired, sha256),
    });
  }

  #createSubscriptions(): Subscriptions {
    const broker = this.#broker;
    return createSubscriptions({
      subscribe: (filters) => broker.subscribe(filters),
      unsubscribe: (filters) => broker.unsubscribe(filters),
      load: () => (this.#state.get('subscriptions') as string[] | undefined) ?? [],
      save: (filters) => {
        try {
          this.#state.set('subscriptions', filters);
        } catch (error) {
          this.#fail('the list of subscriptions could not be saved', error as Error);
        }
      },
      onGranted: (filters) => this.#log.info({ filters }, 'answering messages'),
      onRefused: (filter) =>
        this.#log.error({ filter }, 'the broker refused a subscription: no messages until it grants it; asking again'),
      later: (work) => void setTimeout(work, SUBSCRIBE_AGAIN_MS).unref(),
    });
  }

  #onConnected = (resumed: boolean): void => {
    this.#connectedMs = performance.now();
    this.#told.forget();
    this.#log.info({ broker: withoutPassword(this.#options.broker), resumed }, 'connected to the broker');
    // Subscribed first: the controller may answer at once.
    this.#broker.subscribe(this.#control.filters).then(
      (refused) => refused.length > 0 && this.#log.error({ refused }, 'the broker keeps this node from its controller'),
      () => this.#log.debug('the connection ended before the broker confirmed the subscriptions'),
    );
    this.#control.announce();
    this.#subscriptions.connected(resumed);
    this.#delivery.outgoing.connected(this.#broker);
  };

  #onDisconnected = (reason: string, retryMs: number): void => {
    const { name, broker } = this.#options;
    const short = this.#connectedMs !== undefined && performance.now() - this.#connectedMs < SHORT_CONNECTION_MS;
    this.#connectedMs = undefined;
    const hint = short ? `; is another node named "${name}" connected?` : '';
    const details = { broker: withoutPassword(broker), retryMs: Math.round(retryMs) };
    this.#log.warn(details, `no connection to the broker: ${reason}${hint}`);
    this.#subscriptions.disconnected();
    this.#delivery.outgoing.disconnected();
    this.#delivery.incoming.disconnected();
  };

  #onDisk = (error: Error | undefined): void => {
    if (error) this.#log.error({ err: error }, 'the queue cannot be written; QoS 1 messages wait unacknowledged');
    else this.#log.info('the queue can be written again');
  };

  #refuse = (trigger: string, topic: string, error: string): void => {
    this.#log.debug({ trigger, topic, error }, 'a message could not be answered');
    this.#control.messageError(trigger, topic, error);
  };

  #createMetrics(): ToldMetrics {
    return new ToldMetrics({
      connected: () => this.#broker.connected,
      counts: () => this.#counts(),
      load: () => this.#dispatch.load({ servers: this.#loader.cores, order: 'class' }),
      memory: () => this.#loader.memory(),
      send: (metrics) => this.#control.metrics(metrics),
      before: () => {
        this.#converge.checkEngines();
        if (this.#triggers.compared().size > 0) this.#reportSoon();
      },
    });
  }

  #counts() {
    return {
      outboxItems: this.#delivery.outboxItems,
      outboxDropped: this.#delivery.outgoing.dropped,
      triggers: this.#dispatch.metrics(),
    };
  }

  #fail = (message: string, error?: Error): void => this.#log.error({ err: error }, message);
}

/** An input that was uploaded to the controller for one request; not kept. */
async function fetchInput(blobs: Blobs, desired: Converge['desired'], sha256: string): Promise<Uint8Array> {
  if (!desired) throw new Error('an input by hash needs a controller, and none has spoken to this node yet');
  await blobs.download(desired.files, { sha256, bytes: undefined });
  const content = await blobs.read(sha256);
  if (!desired.models.some((model) => model.sha256 === sha256)) await blobs.remove(sha256);
  return content;
}
