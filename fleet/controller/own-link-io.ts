/**
 * The controller's way to the broker that it brings along: function calls. Over a connection, as to any other broker, each message would
 * be written, parsed and confirmed once more in the same process: half of what a controller does for a unit of a task.
 */
import type { Aedes, AedesPublishPacket } from 'aedes';
import type { Retained } from './broker-memory.ts';
import type { Link, LinkOptions } from './link-io.ts';

export type OwnLinkOptions = Pick<LinkOptions, 'filters' | 'onMessage' | 'onUp'>;

/** The broker has nothing retained yet: it starts with its controller. @param retained counts what the controller retains */
export async function openOwnLink(
  aedes: Aedes,
  retained: Pick<Retained, 'admit'>,
  { filters, onMessage, onUp }: OwnLinkOptions,
): Promise<Link> {
  const take = ({ topic, payload }: AedesPublishPacket, done: () => void): void => {
    onMessage(topic, payload as Buffer);
    done();
  };
  for (const filter of filters) await new Promise<void>((resolve) => aedes.subscribe(filter, take, resolve));
  /** By topic: messages of one keep their order [MQTT-4.6.0-6]. */
  const underWay = new Map<string, Promise<void>>();
  const send = (topic: string, payload: Buffer, retain: boolean): Promise<void> =>
    new Promise((resolve, reject) => {
      const isKept = retain && retained.admit(topic, payload.length);
      const packet = { cmd: 'publish', topic, payload, qos: 1, retain: isKept, dup: false } as const;
      aedes.publish(packet, (error) => (error ? reject(error) : resolve()));
    });
  let up = true;
  // Not before the caller has the link.
  setImmediate(onUp);
  return {
    get connected() {
      return up;
    },
    async publish(topic, payload, { retain = false } = {}) {
      const bytes = Buffer.from(payload);
      const before = underWay.get(topic);
      const sent = before ? before.then(() => send(topic, bytes, retain)) : send(topic, bytes, retain);
      const settled = sent.then(
        () => {},
        () => {},
      );
      underWay.set(topic, settled);
      await sent.finally(() => underWay.get(topic) === settled && underWay.delete(topic));
    },
    // What the broker retains came from here and from nodes that were heard: it begins with its controller.
    async hearAgain() {},
    async close() {
      up = false;
      for (const filter of filters) await new Promise<void>((resolve) => aedes.unsubscribe(filter, take, resolve));
    },
  };
}
