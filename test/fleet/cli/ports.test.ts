import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { choosePort } from '../../../fleet/cli/ports.ts';
import { refusalOf } from '../fleet-parts.ts';
import { unusedPort } from './terminal.ts';

test('a free port is taken, a used one is replaced, unless the person insisted on it', async () => {
  const free = await unusedPort();
  assert.is(await choosePort(free, true, '--mqtt-port'), free);
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const other = await choosePort(port, false, '--mqtt-port');
  assert.is.not(other, port);
  assert.ok(other > 0);
  assert.is(
    await refusalOf(choosePort(port, true, '--mqtt-port')),
    `--mqtt-port ${port}: the port is in use; stop what listens there or choose another port`,
  );
  server.close();
});

test.run();
