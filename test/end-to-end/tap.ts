/**
 * A wire between a node and its broker that reads along: it knows which messages the node has acknowledged, and which
 * answers the broker has. Neither end can tell: what a process says about itself dies with it.
 */
import { connect, createServer, type Server, type Socket } from 'node:net';
import { type Packet, parser } from 'mqtt-packet';

export interface Tap {
  readonly port: number;
  /** Ids of messages that the node confirmed to the broker (PUBACK). */
  readonly acknowledged: ReadonlySet<number>;
  /** How many of these had no answer at the broker yet: only the node's journal knew of them. */
  readonly journalled: number;
  /** Ids of answers from the node that the broker confirmed. */
  readonly answered: ReadonlySet<number>;
  /** Ids that the node acknowledged and whose answers the broker does not have. */
  open(): number[];
  /** For so long no byte passes and nobody is told; then all connections end, and it resolves. */
  cut(ms: number): Promise<void>;
  close(): Promise<void>;
}

/** Passes bytes between whoever connects and the broker at `brokerPort`, which may come and go. */
export async function startTap(brokerPort: number): Promise<Tap> {
  const acknowledged = new Set<number>();
  const answered = new Set<number>();
  let journalled = 0;
  /** That overlap: it passes again after the last of them. */
  let cuts = 0;
  const passes = (): boolean => cuts === 0;
  const sockets = new Set<Socket>();
  const server = createServer((node) => {
    const broker = connect(brokerPort, '127.0.0.1');
    for (const socket of [node, broker]) {
      sockets.add(socket);
      // A dead end on one side is a dead end on the other.
      socket
        .on('error', () => {})
        .on('close', () => {
          sockets.delete(socket);
          node.destroy();
          broker.destroy();
        });
    }
    follow(passes, broker, node, 'sensors/', (id) => {
      acknowledged.add(id);
      if (!answered.has(id)) journalled++;
    });
    follow(passes, node, broker, 'answers/', (id) => answered.add(id));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as { port: number }).port,
    ...{ acknowledged, answered },
    get journalled() {
      return journalled;
    },
    open: () => [...acknowledged].filter((id) => !answered.has(id)),
    async cut(ms) {
      cuts++;
      await new Promise((resolve) => setTimeout(resolve, ms));
      cuts--;
      if (cuts === 0) for (const socket of sockets) socket.destroy();
    },
    close: () => closeAll(server, sockets),
  };
}

/** Tells the id of every QoS 1 message on a `prefix` topic that went from one end and was confirmed by the other. */
function follow(
  passes: () => boolean,
  from: Socket,
  to: Socket,
  prefix: string,
  confirmed: (id: number) => void,
): void {
  const onTheWay = new Map<number, number>();
  const sent = parser({ protocolVersion: 4 }).on('packet', (packet: Packet) => {
    if (packet.cmd !== 'publish' || packet.qos !== 1 || !packet.topic.startsWith(prefix)) return;
    onTheWay.set(packet.messageId as number, JSON.parse(packet.payload.toString()).id);
  });
  const received = parser({ protocolVersion: 4 }).on('packet', ({ cmd, messageId }: Packet) => {
    const id = cmd === 'puback' ? onTheWay.get(messageId as number) : undefined;
    if (id !== undefined) confirmed(id);
  });
  from.on('data', (bytes: Buffer) => {
    if (!passes()) return;
    sent.parse(bytes);
    to.write(bytes);
  });
  to.on('data', (bytes: Buffer) => {
    if (passes()) received.parse(bytes);
  });
}

async function closeAll(server: Server, sockets: ReadonlySet<Socket>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  for (const socket of sockets) socket.destroy();
  await closed;
}
