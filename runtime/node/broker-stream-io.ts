/** The byte stream to a broker, by the protocol of its address. What a protocol needs is loaded with its first address. */
import { connect, isIP } from 'node:net';
import type { Duplex } from 'node:stream';

type Protocol = 'mqtt:' | 'tcp:' | 'mqtts:' | 'ssl:' | 'ws:' | 'wss:';

const factories: Record<Protocol, (url: URL) => Promise<() => Duplex>> = {
  'mqtt:': plain,
  'tcp:': plain,
  'mqtts:': secure,
  'ssl:': secure,
  'ws:': webSocket,
  'wss:': webSocket,
};

/** A broker, or the servers of one that is a cluster, with the name and password that all of them know. */
export interface BrokerAddress {
  readonly urls: readonly URL[];
  readonly username: string;
  readonly password: string;
}

/** Of one address, or several with commas between them. Throws an Error when it is none of a broker. */
export function parseBrokerAddress(text: string): BrokerAddress {
  const urls = text.split(',').map((one) => parseUrl(one.trim(), text));
  const [{ username, password }] = urls as [URL];
  const other = urls.find((url) => (url.username || url.password) && loginOf(url) !== loginOf(urls[0] as URL));
  if (other)
    throw new Error(
      `broker ${withoutPassword(other.href)}: expected one name and password for all servers of a cluster`,
    );
  return { urls, username: decodeURIComponent(username), password: decodeURIComponent(password) };
}

const loginOf = ({ username, password }: URL): string => `${username}:${password}`;

function parseUrl(text: string, whole: string): URL {
  const url = URL.parse(text);
  if (!url || !(url.protocol in factories) || url.hostname === '')
    throw new Error(
      `broker "${whole.replace(/^.*@/, '***@')}": expected an address such as mqtt://host:1883, mqtts://host:8883 or ws://host:9001 (and "%2C" for a comma in a name or password)`,
    );
  try {
    decodeURIComponent(url.username + url.password);
  } catch (cause) {
    throw new Error(`broker ${url.protocol}//***@${url.host}: write a "%" in its name or password as "%25"`, { cause });
  }
  return url;
}

/** A broker's address as it may be shown and logged. */
export function withoutPassword(address: string): string {
  return address.replace(/(:\/\/[^:/@,]*:)[^@,]*@/g, '$1***@');
}

/** Several addresses of one host fail together (happy eyeballs, RFC 8305), and that error has no message of its own. */
export function describeError(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join('; ');
  return error.message || String(error);
}

/** Resolves with a function that opens a new stream each time: to the next server, as the one before was lost or not there. */
export async function streamFactory({ urls }: BrokerAddress): Promise<() => Duplex> {
  const openers = await Promise.all(urls.map((url) => factories[url.protocol as Protocol](url)));
  let turn = 0;
  return () => (openers[turn++ % openers.length] as () => Duplex)();
}

/** `noDelay`: small packets must not wait for the acknowledgement of the ones before (RFC 896). */
async function plain(url: URL): Promise<() => Duplex> {
  return () => connect({ host: hostOf(url), port: Number(url.port || 1883), noDelay: true });
}

/** A server name is a name, never an address (RFC 6066, section 3). */
async function secure(url: URL): Promise<() => Duplex> {
  const { connect } = await import('node:tls');
  const host = hostOf(url);
  return () => {
    const socket = connect({ host, port: Number(url.port || 8883), servername: isIP(host) ? '' : host });
    return socket.setNoDelay(true);
  };
}

async function webSocket(url: URL): Promise<() => Duplex> {
  const { createWebSocketStream, WebSocket } = await import('ws');
  // "mqtt" is the subprotocol's name [MQTT-6.0.0-3].
  return () => createWebSocketStream(new WebSocket(url, 'mqtt'));
}

/** An IPv6 address stands in brackets in a URL, and without them everywhere else. */
function hostOf({ hostname }: URL): string {
  return hostname.replace(/^\[(.*)\]$/, '$1');
}
