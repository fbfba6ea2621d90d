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

/** Throws an Error when the text is not the address of a broker. */
export function parseBrokerUrl(text: string): URL {
  const url = URL.parse(text);
  if (!url || !(url.protocol in factories) || url.hostname === '')
    throw new Error(
      `broker "${text}": expected an address such as mqtt://host:1883, mqtts://host:8883 or ws://host:9001`,
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
  const url = URL.parse(address);
  if (!url?.password) return address;
  url.password = '***';
  return url.href;
}

/** Several addresses of one host fail together (happy eyeballs, RFC 8305), and that error has no message of its own. */
export function describeError(error: Error): string {
  if (error instanceof AggregateError) return error.errors.map((each: Error) => each.message).join('; ');
  return error.message || String(error);
}

/** Resolves with a function that opens a new stream each time. */
export function streamFactory(url: URL): Promise<() => Duplex> {
  return factories[url.protocol as Protocol](url);
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
