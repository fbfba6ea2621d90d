/** Puts a controller together: lock, database, files, broker, HTTP, in the order in which each needs the ones before. */
import { randomUUID } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type Logger, pino } from 'pino';
import packageFile from '../../package.json' with { type: 'json' };
import { withoutPassword } from '../../runtime/node/broker-stream-io.ts';
import { allNodes, parseNodeTopic } from '../../runtime/protocol/topics.ts';
import { lockFolder } from '../../runtime/store/lock.ts';
import { type OpenTelemetry, openTelemetry } from '../../runtime/telemetry/telemetry-io.ts';
import { createApi } from '../api/api.ts';
import { listenHttp } from '../api/server.ts';
import { type BlobStore, openFolder } from './blob-store.ts';
import { type EmbeddedBroker, startBroker } from './broker-io.ts';
import { type Database, openDatabase, sqliteDialect } from './database.ts';
import { Fleet, NODES_MAX } from './fleet-service.ts';
import type { Leader, Leadership } from './leadership-io.ts';
import { type Link, type LinkOptions, openLink, watchTopics } from './link-io.ts';
import type { Membership } from './membership-io.ts';
import { createNodeTraffic, type NodeTraffic } from './node-traffic.ts';
import { readNodeMessage } from './registry.ts';
import type { ControllerService } from './service.ts';
import { sharedService } from './shared-service.ts';
import { createStandby } from './standby.ts';

export const DEFAULT_PORTS = { mqtt: 1883, webSocket: 9001, http: 7700 } as const;

/** How long a start waits for a broker that is not ours before it goes on without. */
const FIRST_CONNECTION_MS = 1_500;
const SWEEP_MS = 3_600_000;
/** Between two looks for nodes that are lost: a small part of the hold-down. */
const REPLACE_MS = 5_000;
const CHANNELS = ['presence', 'reported', 'metrics', 'replies', 'task-events'] as const;

export interface ControllerOptions {
  /** Folder for database and files; created when missing, and locked. */
  readonly data: string;
  /**
   * postgres://…: state is kept there. Of several controllers with one address one leads; the others answer, too, and pass on what
   * only one may do. Without `broker` they wait until they lead.
   */
  readonly database?: string | undefined;
  /** Folder, or s3://bucket/folder, for files in place of a folder in `data`: controllers with one database need one that they share. */
  readonly blobs?: string | undefined;
  /** Stops waiting to lead. */
  readonly signal?: AbortSignal;
  /** Another controller leads now; this one can write nothing any more and has to be closed. */
  readonly onLost?: () => void;
  /** Address that broker and HTTP listen on. */
  readonly host?: string;
  /** 0 lets the system choose. */
  readonly mqttPort?: number;
  readonly webSocketPort?: number;
  readonly httpPort?: number;
  /** Address of a broker to use in place of the embedded one: mqtt:// or mqtts://. */
  readonly broker?: string;
  /** Where nodes reach the HTTP side, when that is not the address it listens on. */
  readonly publicUrl?: string | undefined;
  /** Where other controllers on the database reach it, when that is not the address it listens on. */
  readonly peerUrl?: string | undefined;
  readonly log?: Logger;
  /** Variables of OpenTelemetry: where traces go. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
}

export interface Controller {
  readonly service: ControllerService;
  readonly mqttUrl: string;
  readonly httpUrl: string;
  /** Null with a broker that is not ours. */
  readonly webSocketUrl: string | null;
  close(): Promise<void>;
}

/** Rejects with an Error for the person who started it: a locked folder, a port in use, data of a later version. */
export async function startController(options: ControllerOptions): Promise<Controller> {
  const { host = '127.0.0.1', log = pino({ enabled: false }) } = options;
  const closers: (() => Promise<void> | void)[] = [];
  const close = async (): Promise<void> => {
    for (const step of closers.splice(0).toReversed()) await step();
  };
  try {
    const program = { service: 'llmasos-controller', version: packageFile.version, instance: hostname() };
    const telemetry = openTelemetry({ ...program, environment: options.environment ?? {} });
    closers.push(() => telemetry.close());
    await mkdir(options.data, { recursive: true });
    closers.push(lockFolder(options.data, 'controller'));
    const blobs = await openBlobStore(options);
    const http = await listenHttp(host, options.httpPort ?? DEFAULT_PORTS.http);
    closers.push(() => http.close());
    const httpUrl = `http://${reachable(host)}:${http.port}`;
    const publicUrl = options.publicUrl?.replace(/\/$/, '') ?? httpUrl;
    const state = await openState(options, options.peerUrl ?? httpUrl, closers);
    const { leadership, membership } = state;
    if (leadership && options.broker === undefined) {
      const { signal = new AbortController().signal } = options;
      await leadership.attain(signal, createStandby((app) => http.serve(app), telemetry.scrape, log).waitFor);
    }
    const broker = options.broker === undefined ? await startOwnBroker(options, host, log, telemetry) : undefined;
    if (broker) closers.push(() => broker.close());
    const mqttUrl = broker ? `mqtt://${reachable(host)}:${broker.tcpPort}` : (options.broker as string);
    const ownUrl = broker ? mqttUrl.replace('//', `//${broker.controllerLogin}@`) : mqttUrl;
    const files = `${publicUrl}/v1/blobs`;
    const { fleet, link } = await startFleet({
      ...state,
      blobs,
      files,
      mqttUrl: ownUrl,
      broker,
      log,
      telemetry,
      closers,
      onLost: options.onLost ?? (() => {}),
    });
    const webSocketUrl = broker ? `ws://${reachable(host)}:${broker.webSocketPort}` : null;
    const brokerConnected = (): boolean => link.connected;
    const { scrape } = telemetry;
    const service =
      leadership && membership
        ? sharedService({
            own: fleet,
            leads: () => fleet.leads,
            leader: () => leadership.leader(),
            placeOf: (task) => membership.placeOf(task),
          })
        : fleet;
    http.serve(createApi({ service, blobs, boundTo: host, brokerConnected, scrape, measures: fleet.measures, log }));
    return { service, mqttUrl, httpUrl, webSocketUrl, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openBlobStore({ data, blobs = join(data, 'blobs') }: ControllerOptions): Promise<BlobStore> {
  if (!blobs.startsWith('s3:')) return openFolder(blobs);
  const { openBucket } = await import('./bucket-io.ts');
  return openBucket(blobs, join(data, 'incoming'));
}

interface State {
  readonly database: Database;
  readonly tasksDatabase: Database;
  /** Of several controllers that may be on the database: which one leads, and which are there. A file has one controller, which does all. */
  readonly leadership?: Leadership;
  readonly membership?: Membership;
}

async function openState(
  { data, database: url, onLost = () => {} }: ControllerOptions,
  peerUrl: string,
  closers: (() => Promise<void> | void)[],
): Promise<State> {
  if (url === undefined) {
    const file = join(data, 'controller.sqlite');
    const database = await openDatabase(sqliteDialect(file), file);
    closers.push(() => database.destroy());
    return { database, tasksDatabase: database };
  }
  const { isPostgres, openPostgres } = await import('./postgres-io.ts');
  if (!isPostgres(url))
    throw new Error(`--database: expected an address such as postgres://user@host/name, got "${url.slice(0, 20)}…"`);
  const me = { holder: `${hostname()} ${process.pid}`, url: peerUrl.replace(/\/$/, '') };
  const postgres = await openPostgres(url, me, onLost);
  // Both are on one pool, which this ends.
  closers.push(() => postgres.database.destroy());
  closers.push(() => postgres.leadership.release());
  closers.push(() => postgres.membership.leave());
  return postgres;
}

function startOwnBroker(
  options: ControllerOptions,
  host: string,
  log: Logger,
  { meter }: OpenTelemetry,
): Promise<EmbeddedBroker> {
  const tcpPort = options.mqttPort ?? DEFAULT_PORTS.mqtt;
  return startBroker({ host, tcpPort, webSocketPort: options.webSocketPort ?? DEFAULT_PORTS.webSocket, log, meter });
}

interface FleetParts extends State {
  readonly blobs: BlobStore;
  readonly files: string;
  readonly mqttUrl: string;
  /** Where it is ours. */
  readonly broker: EmbeddedBroker | undefined;
  readonly log: Logger;
  readonly telemetry: OpenTelemetry;
  readonly closers: (() => Promise<void> | void)[];
  readonly onLost: () => void;
}

async function startFleet({
  database,
  tasksDatabase,
  leadership,
  membership,
  blobs,
  files,
  mqttUrl,
  broker,
  log,
  telemetry,
  closers,
  onLost,
}: FleetParts): Promise<{ fleet: Fleet; link: Link }> {
  const fleet = new Fleet({
    database,
    tasksDatabase,
    owner: membership?.id,
    blobs,
    files,
    link: {
      get connected() {
        return link.connected;
      },
      publish: (topic, payload, publishOptions) => link.publish(topic, payload, publishOptions),
    },
    watchTopics: (filter, onMessage, signal) => watchTopics(mqttUrl, filter, onMessage, signal),
    now: Date.now,
    log,
    telemetry,
  });
  const traffic = createNodeTraffic((batch) => fleet.takeMessages(batch), log, 3 * NODES_MAX);
  let markReady = (): void => {};
  const ready = new Promise<void>((resolve) => {
    markReady = resolve;
  });
  await membership?.join();
  await fleet.start();
  const leads = leadership === undefined || leadership.epoch !== undefined || (await leadership.claim());
  if (leads) fleet.lead();
  const linkOptions: LinkOptions = {
    url: mqttUrl,
    clientId: `llmasos-controller-${randomUUID().slice(0, 8)}`,
    filters: CHANNELS.map(allNodes),
    onMessage: (topic, payload) => receive(topic, payload, fleet, traffic),
    onUp: () => {
      log.info(`connected to the broker at ${withoutPassword(mqttUrl)}`);
      fleet.linkUp().then(markReady, (error: Error) => log.error(`desired states cannot be read: ${error.message}`));
    },
    onDown: (reason) => {
      fleet.linkDown();
      log.warn(`broker at ${withoutPassword(mqttUrl)}: ${reason}; trying again`);
    },
  };
  const link: Link = await (broker ? broker.link(linkOptions) : openLink(linkOptions));
  closers.push(() => link.close());
  closers.push(() => fleet.close());
  if (membership) {
    const onError = (error: Error): void => log.warn(`the other controllers are not looked at: ${error.message}`);
    closers.push(await membership.share(fleet.tasks.desk, onError));
  }
  closers.push(() => traffic.close());
  if (leads) await fleet.refresh();
  else leadLater(leadership as Leadership, { fleet, link, log, closers, onLost });
  await Promise.race([ready, new Promise((resolve) => setTimeout(resolve, FIRST_CONNECTION_MS).unref())]);
  const sweep = (): void => {
    fleet.sweep().then(
      (removed) => removed > 0 && log.info(`removed ${removed} files that nothing uses any more`),
      (error: Error) => log.warn(`old files cannot be removed: ${error.message}`),
    );
  };
  sweep();
  const sweeping = setInterval(sweep, SWEEP_MS);
  closers.push(() => clearInterval(sweeping));
  const replacing = setInterval(() => {
    fleet.replaceLost().catch((error: Error) => log.warn(`lost nodes cannot be replaced: ${error.message}`));
  }, REPLACE_MS);
  closers.push(() => clearInterval(replacing));
  return { fleet, link };
}

/** Follows the controller that leads until it is this one's turn. */
function leadLater(
  leadership: Leadership,
  { fleet, link, log, closers, onLost }: Pick<FleetParts, 'log' | 'closers' | 'onLost'> & { fleet: Fleet; link: Link },
): void {
  const closing = new AbortController();
  let known: string | undefined;
  const follow = (leader: Leader): void => {
    if (leader.holder !== known)
      log.info(leader, 'another controller leads; this one answers, and takes over when it has to');
    known = leader.holder;
  };
  const leading = leadership.attain(closing.signal, follow).then(async () => {
    fleet.lead();
    log.info('this controller leads now');
    await fleet.refresh();
    if (link.connected) await fleet.linkUp();
    // What nodes said while nobody led is on the broker only.
    await link.hearAgain();
  });
  leading.catch((error: Error) => {
    if (closing.signal.aborted) return;
    log.error(`this controller was to lead and cannot: ${error.message}`);
    leadership.release().finally(onLost);
  });
  closers.push(async () => {
    closing.abort();
    await leading.catch(() => {});
  });
}

function receive(topic: string, payload: Uint8Array, fleet: Fleet, traffic: NodeTraffic): void {
  try {
    const message = readNodeMessage(topic, payload);
    if (message) fleet.measures.heard(message.kind);
    if (message?.kind === 'reply') fleet.inference.settle(message.node, message.reply);
    else if (message?.kind === 'task') fleet.tellTask(message.node, message.event);
    else if (message) traffic.add(message);
  } catch (error) {
    fleet.noteRefusal(parseNodeTopic(topic)?.node ?? '', error as Error);
  }
}

/** An address that works on this machine, and, where all addresses are listened on, on others. */
function reachable(host: string): string {
  if (host === '0.0.0.0' || host === '::') return hostname();
  return host.includes(':') ? `[${host}]` : host;
}
