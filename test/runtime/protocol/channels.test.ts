/** The page and the schema file say what the table says. */
import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { channels, PROTOCOL_VERSION, protocolSchemas } from '../../../runtime/protocol/channels.ts';
import { parsePayload } from '../../../runtime/protocol/messages.ts';

const fileOf = (name: string): string => readFileSync(new URL(`../../../docs/${name}`, import.meta.url), 'utf8');
const page = fileOf('protocol.md');

test('the schema file is what the code has; "npm run protocol" writes it', () => {
  assert.equal(JSON.parse(fileOf('protocol.schema.json')), JSON.parse(JSON.stringify(protocolSchemas())));
  assert.match(page, new RegExp(`^Version ${PROTOCOL_VERSION}:`, 'm'));
});

test('the page lists every channel as the table has it', () => {
  const rows = [...page.matchAll(/^\| `([\w/{}-]+)` \| (.*) \|$/gm)].map(([, name, rest]) => [name, rest]);
  const wanted = Object.entries(channels).map(([name, { from, qos, retain, says }]) => [
    name,
    `${from} | ${qos} | ${retain ? 'yes' : 'no'} | ${says}`,
  ]);
  assert.ok(rows.length >= 7, `saw only ${rows.length} rows`);
  assert.equal(rows, wanted);
});

test('every example on the page fits its schema', () => {
  let seen = 0;
  for (const [, name = '', text = ''] of page.matchAll(/^```json (\S+)\n(.*?)^```$/gms)) {
    const channel = channels[name as keyof typeof channels];
    assert.ok(channel, `the page has an example of ${name}`);
    parsePayload(channel.schema, name, new TextEncoder().encode(text));
    seen++;
  }
  assert.ok(seen >= 4, `saw only ${seen} examples`);
});

test.run();
