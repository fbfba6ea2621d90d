/**
 * What the path of a message costs without us: receives a payload, answers at once with its first bytes, as many as a
 * result has. `node bench/echo.ts --broker URL --bytes N --qos 0|1`
 */
import type { Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { connectAsync } from 'mqtt';
import { onStop } from '../runtime/node/stop-io.ts';

const text = { type: 'string' } as const;
const { values } = parseArgs({ options: { broker: text, bytes: text, qos: text } });
const qos = values.qos === '1' ? 1 : 0;
const client = await connectAsync(values.broker as string, { protocolVersion: 4 });
// As a node does (RFC 896).
(client.stream as Socket).setNoDelay(true);
client.on('message', (_, payload) => {
  client.publish('echo/answer', payload.subarray(0, Number(values.bytes)), { qos });
});
await client.subscribeAsync('echo/question', { qos });
onStop(() => client.end(true, () => process.exit(0)));
process.send?.('ready');
