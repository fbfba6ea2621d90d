/**
 * A broker and the network around it. Messages about tasks are lost, doubled, delayed and so overtake one another, which is
 * worse than MQTT allows. Those that describe a state keep their order on a connection [MQTT-4.6.0-6], and where one is lost,
 * so is the connection. A client that is cut off is noticed after a while, and its last will goes out; sessions keep what came
 * at QoS 1 while a node was away; and when the broker stops, it has forgotten everything.
 */
import type { NodeChannel } from '../../runtime/protocol/topics.ts';
import type { World } from './world.ts';

const KEEPALIVE_MS = 22_000;
const SESSION_MESSAGES_MAX = 1_000;

export interface Client {
  /** A connection of this client has been accepted. */
  connected(): void;
  disconnected(): void;
  receive(node: string, channel: NodeChannel, text: string): void;
}

interface Session {
  client: Client | undefined;
  will: string | undefined;
  /** Which of its connections it is: what comes of an earlier one does not end a later one. */
  connection: number;
  readonly waiting: (() => void)[];
}

interface Packet {
  readonly node: string;
  readonly channel: NodeChannel;
  readonly text: string;
  readonly qos: 0 | 1;
  readonly retain: boolean;
}

export class SimBroker {
  readonly #world: World;
  #up = true;
  readonly #sessions = new Map<string, Session>();
  readonly #retained = new Map<string, Packet>();
  #controller: Client | undefined;
  /** When the last message on a line arrives: the next one of its topic comes behind it. */
  readonly #lines = new Map<string, number>();
  /** Names of clients that nobody hears. */
  readonly partitioned = new Set<string>();

  constructor(world: World) {
    this.#world = world;
  }

  connectNode(name: string, client: Client, will: string): boolean {
    if (!this.#up || this.partitioned.has(name)) return false;
    const session = this.#sessions.get(name) ?? { client: undefined, will: undefined, connection: 0, waiting: [] };
    // MQTT 3.1.1, 3.1.4-2: the earlier connection of that name ends, and its last will goes out.
    if (session.client) this.#end(name, session);
    this.#sessions.set(name, session);
    session.client = client;
    session.connection++;
    session.will = will;
    client.connected();
    const kept = this.#retained.get(`${name}/desired`);
    if (kept) this.#travel(name, kept, () => this.#sessions.get(name)?.client?.receive(name, 'desired', kept.text));
    for (const deliver of session.waiting.splice(0)) deliver();
    return true;
  }

  connectController(client: Client): boolean {
    if (!this.#up || this.partitioned.has('controller')) return false;
    this.#controller = client;
    client.connected();
    for (const packet of this.#retained.values()) if (packet.channel !== 'desired') this.#toController(packet);
    return true;
  }

  publish(from: string, packet: Packet): void {
    if (!this.#up) return;
    this.#travel(from, packet, () => {
      if (!this.#up) return;
      if (packet.retain) this.#retained.set(`${packet.node}/${packet.channel}`, packet);
      if (from === 'controller') this.#toNode(packet);
      else this.#toController(packet);
    });
  }

  /** The connection breaks: both sides notice, sooner or later. */
  cut(name: string): void {
    if (name !== 'controller') {
      this.lost(name);
      return;
    }
    const controller = this.#controller;
    this.#controller = undefined;
    if (controller)
      this.#world.clock.after(this.#world.chance.between(10, KEEPALIVE_MS), () => controller.disconnected());
  }

  /** The process is gone, or nobody hears it any more: the broker notices when nothing comes for a while. */
  lost(name: string): void {
    if (name === 'controller') {
      this.#controller = undefined;
      return;
    }
    const session = this.#sessions.get(name);
    if (!session?.client) return;
    const { connection } = session;
    const delay = this.#world.chance.happens(0.5) ? 10 : KEEPALIVE_MS;
    this.#world.clock.after(delay, () => {
      if (session.connection === connection) this.#end(name, session);
    });
  }

  stop(restartMs: number): void {
    this.#up = false;
    const clients = [...this.#sessions.values()].flatMap(({ client }) => client ?? []);
    this.#sessions.clear();
    this.#retained.clear();
    const controller = this.#controller;
    this.#controller = undefined;
    for (const client of clients) client.disconnected();
    controller?.disconnected();
    this.#world.clock.after(restartMs, () => {
      this.#up = true;
    });
  }

  #end(name: string, session: Session): void {
    const { client, will } = session;
    if (!client) return;
    session.client = undefined;
    client.disconnected();
    if (will !== undefined) {
      const packet = { node: name, channel: 'presence' as const, text: will, qos: 1 as const, retain: true };
      this.#retained.set(`${name}/presence`, packet);
      this.#toController(packet);
    }
  }

  #toNode(packet: Packet): void {
    const { node, channel, text, qos } = packet;
    const session = this.#sessions.get(node);
    const deliver = (): void =>
      this.#travel(node, packet, () => this.#sessions.get(node)?.client?.receive(node, channel, text));
    if (session?.client) deliver();
    else if (session && qos === 1 && session.waiting.length < SESSION_MESSAGES_MAX) session.waiting.push(deliver);
  }

  #toController(packet: Packet): void {
    const client = this.#controller;
    if (!client) return;
    this.#travel('controller', packet, () => {
      if (this.#controller === client) client.receive(packet.node, packet.channel, packet.text);
    });
  }

  /** @param end the client at one end of the line; the other is the broker */
  #travel(end: string, { node, channel }: Pick<Packet, 'node' | 'channel'>, arrive: () => void): void {
    const world = this.#world;
    const isOrdered = channel !== 'tasks' && channel !== 'task-events';
    if (this.partitioned.has(end) || world.happens(isOrdered ? 0.001 : 0.03)) {
      if (isOrdered) this.cut(end);
      return;
    }
    const delay = (): number => (world.happens(0.02) ? world.chance.between(500, 40_000) : world.chance.between(1, 50));
    if (!isOrdered) {
      world.clock.after(delay(), arrive);
      if (world.happens(0.03)) world.clock.after(delay(), arrive);
      return;
    }
    const line = `${end} ${node} ${channel}`;
    const at = Math.max(world.now + delay(), this.#lines.get(line) ?? 0);
    this.#lines.set(line, at);
    world.clock.after(at - world.now, arrive);
  }
}
