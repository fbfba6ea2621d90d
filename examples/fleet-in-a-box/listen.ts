/** Lets the judge hear what the feeds say they sent and what the fleet answers. */
import { connectAsync } from 'mqtt';
import type { Judge } from './judge.ts';

export async function listen(mqttUrl: string, judge: Judge): Promise<{ close(): Promise<void> }> {
  const client = await connectAsync(mqttUrl, { protocolVersion: 4, reconnectPeriod: 500 });
  client.on('message', (topic, payload) => judge.message(topic, payload));
  client.on('error', () => {}); // mqtt.js connects again by itself
  await client.subscribeAsync([...judge.subscriptions], { qos: 1 });
  return { close: () => client.endAsync(true) };
}
