/** ControllerService over the database, the blobs and the broker: every change is committed first and published then. */
import assert from 'node:assert';
import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { requestSchema } from '../../runtime/protocol/messages.ts';
import type { TaskEvent } from '../../runtime/protocol/tasks.ts';
import { nodeTopic } from '../../runtime/protocol/topics.ts';
import { traceAsking } from '../../runtime/telemetry/message-trace.ts';
import type { OpenTelemetry } from '../../runtime/telemetry/telemetry-io.ts';
import type { Trigger } from '../../runtime/triggers/schema.ts';
import { parseFilter } from '../../runtime/triggers/topic-filter.ts';
import { RolloutService } from '../rollouts/rollout-service.ts';
import { Fences } from '../tasks/fences.ts';
import { ScheduleService } from '../tasks/schedule-service.ts';
import { TaskService } from '../tasks/task-service.ts';
import { createTaskTrace } from '../tasks/task-trace.ts';
import type { BlobStore } from './blob-store.ts';
import type { Database } from './database.ts';
import { FleetMeasures } from './fleet-metrics.ts';
import type { FleetProblem } from './fleet-problem.ts';
import { createInference, type Inference, inferProblem } from './inference.ts';
import { placeInput } from './inputs.ts';
import type { Link, OnMessage } from './link-io.ts';
import { addModel, modelViews, removeModel, removeUnreferenced, unknownModel } from './models.ts';
import { FactBook } from './node-facts.ts';
import { Placements } from './placements.ts';
import { createPublisher, type Publisher, refreshDesired } from './publisher.ts';
import { Refusals } from './refusals.ts';
import { connectedOf, foldMessages, type Live, type StateMessage } from './registry.ts';
import type {
  ControllerService,
  InferRequest,
  LiveResult,
  ModelView,
  NodeSelector,
  NodeView,
  TriggerView,
} from './service.ts';
import { SettingsService } from './settings-service.ts';
import { SoftwareService } from './software-service.ts';
import { countNodes, newest, readModels, readNodes, readTriggers, type StoredNode, saveNode } from './store.ts';
import { putTrigger, removeTrigger, triggerView } from './triggers.ts';

export const NODES_MAX = 20_000;
/** A larger input travels as a blob: a control message has to stay small. */
const INLINE_BASE64_MAX = 350_000;
/** Connections to the broker that watchers may take. */
const WATCHERS_MAX = 100;
/** Uploads that were never registered, and files of removed models, go after this long. */
const UNNAMED_BLOB_MS = 3_600_000;

export interface FleetOptions {
  readonly database: Database;
  /** For transactions over tasks. */
  readonly tasksDatabase: Database;
  /** Where several controllers may be on the database: who this one is. */
  readonly owner: string | undefined;
  readonly blobs: BlobStore;
  /** Base URL that nodes fetch model files from. */
  readonly files: string;
  readonly link: Pick<Link, 'connected' | 'publish'>;
  readonly watchTopics: (filter: string, onMessage: OnMessage, signal: AbortSignal) => Promise<void>;
  readonly now: () => number;
  readonly log: Logger;
  readonly telemetry: OpenTelemetry;
}

export class Fleet implements ControllerService {
  readonly inference: Inference = createInference();
  readonly measures: FleetMeasures;
  readonly #options: FleetOptions;
  readonly #database: Database;
  readonly #publisher: Publisher;
  readonly #facts = new FactBook();
  readonly rollouts: RolloutService;
  readonly settings: SettingsService;
  readonly software: SoftwareService;
  #tasks: TaskService | undefined;
  #schedules: ScheduleService | undefined;
  readonly #live = new Map<string, Live>();
  readonly #placements: Placements;
  #watchers = 0;
  /** Of several controllers on one database only one does what is not to be done twice. */
  #leads = false;
  readonly #refusals: Refusals;
  /** Work on blobs and model versions, one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(options: FleetOptions) {
    this.#options = options;
    this.#database = options.database;
    this.#refusals = new Refusals((node) => this.#facts.has(node), options.log);
    this.measures = new FleetMeasures(options.telemetry.meter, () => ({
      ...{ connected: options.link.connected, ...this.#facts.counts(this.#live), ...this.tasks.desk.counts() },
    }));
    const send = (topic: string, payload: string) => options.link.publish(topic, payload, { retain: true });
    const { database, now, log } = options;
    this.#placements = new Placements({
      ...{ database, now, log },
      nodeViews: (from, live) => this.#nodeViews(from, new Map([...this.#live, ...live])),
    });
    this.rollouts = new RolloutService({
      database,
      now,
      log,
      isOnline: this.#isOnline,
      change: (work) => this.#change(work, this.#warn),
    });
    this.settings = new SettingsService({ database, now, change: (work) => this.#change(work) });
    this.software = new SoftwareService({
      ...{ database, now, blobs: options.blobs },
      change: (work) => this.#change(work),
      exclusively: (work) => this.#exclusively(work),
    });
    this.#publisher = createPublisher(options.database, send, (error) =>
      options.log.warn(`desired states wait for the broker: ${error.message}`),
    );
  }

  /** Reads what is on the disk; before any message comes. */
  async start(): Promise<void> {
    const { database, tasksDatabase, owner, link, now, log, blobs, telemetry } = this.#options;
    for (const node of await readNodes(database)) this.#facts.note(node);
    const sharing = owner === undefined ? undefined : { owner, fences: Fences.shared(), leads: () => this.#leads };
    const ports = {
      ...{ database: tasksDatabase, now, log, sharing },
      trace: telemetry.traces ? createTaskTrace(telemetry.record) : undefined,
      committed: (ms: number) => this.measures.committed('tasks', ms),
      connected: () => link.connected,
      publish: (topic: string, payload: string) => link.publish(topic, payload),
      nodes: () => this.#facts.able(this.#live),
      allNodes: () => this.#facts.all(),
      softwareHash: (version: string) => this.software.hashOf(version),
      giveSoftware: this.software.give.bind(this.software),
    };
    this.#tasks = await TaskService.open(ports, blobs);
  }

  /** From now on this controller does what only one does. Before any message comes, or in the midst of them. */
  lead(): void {
    const { database, link, now, log, watchTopics } = this.#options;
    const listening = { connected: () => link.connected, watch: watchTopics };
    this.#schedules = new ScheduleService({ database, now, log, ...listening, tasks: this.tasks });
    this.#leads = true;
  }

  /** Brings desired states up to date once it leads: the address of the files may be another one now. */
  async refresh(): Promise<void> {
    await this.#change(async () => {}, this.#warn);
  }

  get leads(): boolean {
    return this.#leads;
  }

  async close(): Promise<void> {
    await this.rollouts.close();
    await this.#schedules?.close();
    await this.#tasks?.desk.close();
  }

  get tasks(): TaskService {
    assert(this.#tasks, 'tasks were asked for before the start');
    return this.#tasks;
  }

  get schedules(): ScheduleService {
    assert(this.#schedules, 'schedules were asked for where another controller leads');
    return this.#schedules;
  }

  /** A message that did not fit its schema. */
  noteRefusal(node: string, error: Error): void {
    this.measures.refused();
    this.#refusals.note(node, error);
  }

  /** A message about tasks from a node. */
  tellTask(node: string, event: TaskEvent): void {
    this.tasks.desk.receive(node, event);
  }

  async nodes(): Promise<NodeView[]> {
    return this.#nodeViews(this.#database, this.#live);
  }

  async #nodeViews(database: Database, lives: ReadonlyMap<string, Live>): Promise<NodeView[]> {
    return (await readNodes(database)).map(({ name, reported, lastSeenAt, desired }) => {
      const live = lives.get(name);
      return {
        name,
        online: live?.online ?? false,
        lastSeenAt: Math.max(lastSeenAt, live?.lastSeenAt ?? 0),
        labels: reported?.labels ?? {},
        reported,
        metrics: live?.metrics ?? null,
        desiredVersion: desired?.version ?? 0,
        refused: this.#refusals.of(name),
      };
    });
  }

  placement(): Promise<FleetProblem> {
    return this.#placements.problem();
  }

  /** Moves what lost nodes served; those that come and go too often move nothing. Call now and then. */
  async replaceLost(): Promise<void> {
    if (this.#leads && this.#options.link.connected && (await this.#placements.isDue()))
      await this.#change(async () => {}, this.#warn);
  }

  async models(): Promise<ModelView[]> {
    return modelViews(this.#database, newest(await readModels(this.#database)));
  }

  async modelVersions(name: string): Promise<ModelView[]> {
    const versions = await readModels(this.#database, name);
    if (versions.length === 0) throw await unknownModel(this.#database, name);
    return modelViews(this.#database, versions);
  }

  addModel(name: string, sha256: string, labels?: readonly string[], registerOnly = false): Promise<ModelView> {
    const ports = { database: this.#database, blobs: this.#options.blobs, now: this.#options.now() };
    const change = (work: (transaction: Database) => Promise<void>) => this.#change(work);
    return this.#exclusively(() => addModel({ ...ports, change }, { name, sha256, labels, registerOnly }));
  }

  async removeModel(name: string): Promise<void> {
    // Its files stay for a while (`sweep`): a node that is just fetching them may finish.
    await this.#change((transaction) => removeModel(transaction, name));
  }

  async triggers(): Promise<TriggerView[]> {
    const [stored, nodes] = [await readTriggers(this.#database), await readNodes(this.#database)];
    return stored.map((trigger) => triggerView(trigger, nodes, this.#isOnline));
  }

  async putTrigger(trigger: Trigger, selector: NodeSelector): Promise<TriggerView> {
    const now = this.#options.now();
    await this.#change((transaction) => putTrigger(transaction, trigger, selector, now));
    // Read again: with the nodes that were chosen for it.
    const view = (await this.triggers()).find((candidate) => candidate.trigger.name === trigger.name);
    if (!view) throw new Error(`trigger "${trigger.name}" was removed by somebody else meanwhile; add it again`);
    return view;
  }

  async removeTrigger(name: string): Promise<void> {
    await this.#change((transaction) => removeTrigger(transaction, name));
  }

  async putBlob(sha256: string, content: AsyncIterable<Uint8Array>): Promise<{ bytes: number }> {
    const { bytes } = await this.#options.blobs.put(content, sha256);
    return { bytes };
  }

  async infer(node: string, request: InferRequest, timeoutMs: number): Promise<unknown> {
    const record = (await readNodes(this.#database, [node]))[0];
    if (!record) throw await this.#unknownNode(node);
    const problem = inferProblem(node, this.#isOnline(node), record.reported, request.model);
    if (problem) throw new Error(problem);
    const input = await placeInput(this.#options.blobs, request.input, INLINE_BASE64_MAX);
    const expiresAt = this.#options.now() + timeoutMs;
    const complete = requestSchema.parse({ ...request, input, id: randomUUID(), kind: 'infer', expiresAt });
    return traceAsking(this.#options.telemetry, `infer ${request.model}`, (traceparent) =>
      this.inference.ask(node, complete, timeoutMs, () =>
        this.#options.link.publish(nodeTopic(node, 'requests'), JSON.stringify({ ...complete, traceparent })),
      ),
    );
  }

  async watch(filter: string, onResult: (result: LiveResult) => void, signal: AbortSignal): Promise<void> {
    const { mqtt } = parseFilter(filter);
    if (this.#watchers >= WATCHERS_MAX) throw new Error(`${WATCHERS_MAX} others are watching; end one of them first`);
    this.#watchers++;
    try {
      const pass: OnMessage = (topic, payload) => onResult({ topic, payload, at: this.#options.now() });
      await this.#options.watchTopics(mqtt, pass, signal);
    } finally {
      this.#watchers--;
    }
  }

  /** Stores a batch of messages from nodes, then acts on what it changed. Where another controller does that, they are remembered only. */
  async takeMessages(batch: readonly StateMessage[]): Promise<void> {
    const now = this.#options.now();
    if (!this.#leads) return this.#follow(batch, now);
    const beganMs = performance.now();
    const names = [...new Set(batch.map(({ node }) => node))];
    const taken = await this.#database.transaction().execute(async (transaction) => {
      const known = new Map((await readNodes(transaction, names)).map((node) => [node.name, node]));
      const accepted = await this.#withinBounds(transaction, batch, known);
      const changes = foldMessages(known, this.#live, accepted, now);
      for (const node of changes.save) await saveNode(transaction, node);
      for (const [node, { online }] of changes.live) this.#placements.holdDown.note(node, online, now);
      const moved = changes.reconsider.length > 0 ? await this.#placements.decide(transaction, changes.live) : [];
      const nodes = [...new Set([...changes.reconsider, ...moved])];
      const refresh = { files: this.#options.files, now, nodes, onRefused: this.#warn };
      return { ...changes, publications: await refreshDesired(transaction, refresh) };
    });
    this.measures.committed('nodes', performance.now() - beganMs);
    this.measures.counted(batch, this.#live);
    const { publications, live, save } = taken;
    const connected = connectedOf(batch);
    const cameOrWent = [...live].some(([node, { online }]) => online !== this.#isOnline(node));
    for (const [node, state] of live) this.#live.set(node, state);
    const others = save.filter((node) => this.#facts.note(node)).length > 0;
    if (cameOrWent || others || connected.length > 0) this.tasks.desk.nodesChanged(connected);
    this.#publisher.publish(publications);
  }

  /** So that nodes can be shown, asked and given units without asking the controller that leads. */
  #follow(batch: readonly StateMessage[], now: number): void {
    const accepted = batch.filter(({ node }) => this.#facts.has(node) || this.#facts.size < NODES_MAX);
    const connected = connectedOf(accepted);
    let others = connected.length > 0;
    for (const [node, state] of foldMessages(new Map(), this.#live, accepted, now).live) {
      others ||= state.online !== this.#isOnline(node);
      this.#live.set(node, state);
      this.#placements.holdDown.note(node, state.online, now);
    }
    for (const message of accepted) {
      const { node } = message;
      const reported = message.kind === 'reported' ? message.reported : null;
      const isNews = reported !== null || !this.#facts.has(node);
      if (isNews && this.#facts.note({ name: node, reported, lastSeenAt: now })) others = true;
    }
    if (others) this.tasks.desk.nodesChanged(connected);
  }

  /** The broker is there (again), and may have forgotten everything. */
  async linkUp(): Promise<void> {
    this.#placements.holdDown.see(this.#options.now());
    this.tasks.desk.linkUp();
    if (!this.#leads) return;
    this.rollouts.linkUp();
    await this.#publisher.publishAll();
  }

  /** Until the broker is back and says so, nobody counts as online. */
  linkDown(): void {
    for (const [node, live] of this.#live) this.#live.set(node, { ...live, online: false });
    this.#placements.holdDown.blind();
    this.rollouts.linkDown();
    this.inference.abandon('the connection to the broker ended before the answer came; ask again');
  }

  /** Removes files that nothing names any more; resolves with their number. */
  sweep(): Promise<number> {
    return this.#exclusively(async () => {
      if (!this.#leads) return 0;
      await this.tasks.forget();
      await this.rollouts.forget();
      const { blobs } = this.#options;
      const before = this.#options.now() - UNNAMED_BLOB_MS;
      const old = (await blobs.list()).filter(({ cameMs }) => cameMs < before).map(({ sha256 }) => sha256);
      return removeUnreferenced(this.#database, blobs, old);
    });
  }

  /** Commits the change together with the desired states that follow from it, then publishes those. */
  async #change<T>(work: (transaction: Database) => Promise<T>, onRefused?: (error: Error) => void): Promise<T> {
    const refresh = { files: this.#options.files, now: this.#options.now(), onRefused };
    const { result, publications } = await this.#database.transaction().execute(async (transaction) => {
      const result = await work(transaction);
      await this.#placements.decide(transaction);
      return { result, publications: await refreshDesired(transaction, refresh) };
    });
    // Not waited for: the change is durable now, and a broker that hangs gets it on its next connection.
    this.#publisher.publish(publications);
    return result;
  }

  #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#turn.then(work);
    this.#turn = result.catch(() => {});
    return result;
  }

  async #withinBounds(transaction: Database, batch: readonly StateMessage[], known: ReadonlyMap<string, StoredNode>) {
    const strangers = new Set(batch.map(({ node }) => node).filter((node) => !known.has(node)));
    if (strangers.size === 0) return batch;
    const refused = new Set([...strangers].slice(Math.max(0, NODES_MAX - (await countNodes(transaction)))));
    if (refused.size === 0) return batch;
    const [some] = refused;
    this.#options.log.error(
      `${NODES_MAX} nodes are registered, no more fit: left out ${refused.size}, such as ${some}`,
    );
    return batch.filter(({ node }) => !refused.has(node));
  }

  async #unknownNode(name: string): Promise<Error> {
    const names = (await readNodes(this.#database)).map((node) => node.name);
    const there = names.length === 0 ? 'none has announced itself yet' : `there are ${names.join(', ')}`;
    return new Error(`there is no node "${name}"; ${there}`);
  }

  #isOnline = (node: string): boolean => this.#live.get(node)?.online ?? false;
  #warn = (error: Error): void => this.#options.log.warn(error.message);
}
