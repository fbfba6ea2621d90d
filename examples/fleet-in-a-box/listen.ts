/** Lets the judge hear what the feeds say they sent and what the fleet answers. */
import { openClient } from '../../runtime/node/mqtt-client-io.ts';
import type { Judge } from './judge.ts';

/** `onMessage` runs after the judge has heard each message. */
export async function listen(
  mqttUrl: string,
  judge: Judge,
  onMessage: () => void,
): Promise<{ close(): Promise<void> }> {
  const client = await openClient(mqttUrl, { protocolVersion: 4, reconnectPeriod: 500 });
  client.on('message', (topic, payload) => {
    judge.message(topic, payload);
    onMessage();
  });
  client.on('error', () => {}); // mqtt.js connects again by itself
  await new Promise<unknown>((resolve) => client.once('connect', resolve));
  await client.subscribeAsync([...judge.subscriptions], { qos: 1 });
  return { close: () => client.endAsync(true) };
}
