/** kill -9 in the middle of a model: the next process fetches what is missing of it, and nothing else. */
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { floats, writeModel } from '../../../bench/write-model.ts';
import { eventually } from '../../fleet/fleet-parts.ts';
import { serveChunks } from '../../runtime/store/chunk-server.ts';
import { cleanUp, connectClient, newFolder, spawnNode, startBroker } from './bench.ts';

const MIB = 2 ** 20;
const WIDTH = 200_000;

/** Two products whose weights are different in every chunk, 4.6 MiB together. */
function largeModel(): Uint8Array {
  const weights = (factor: number) => Float32Array.from({ length: 3 * WIDTH }, (_, index) => Math.sin(index * factor));
  return writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [1, 3] }],
      outputs: [{ name: 'y', type: 1, dims: [1, 3] }],
      initializers: [floats('wide', [3, WIDTH], weights(0.1)), floats('narrow', [WIDTH, 3], weights(0.3))],
      nodes: [
        { operator: 'MatMul', inputs: ['x', 'wide'], outputs: ['h'] },
        { operator: 'MatMul', inputs: ['h', 'narrow'], outputs: ['y'] },
      ],
    },
  });
}

test('a node that is killed in the middle of a chunk fetches that chunk and those after it, and runs the model', async () => {
  const model = largeModel();
  let isHeld = true;
  const remote = await serveChunks(model, (part) => (isHeld ? part.subarray(0, 2.5 * MIB) : part));
  const broker = await startBroker();
  const client = await connectClient(broker.url, ['llmasos/#']);
  const data = newFolder();
  const flags = { name: 'victim', broker: broker.url, data };
  const models = [{ name: 'large', version: 1, ...remote.file }];
  const desired = { version: 1, at: 0, files: remote.url, models, triggers: [] };
  client.mqtt.publish('llmasos/v1/nodes/victim/desired', JSON.stringify(desired), { qos: 1, retain: true });
  const first = spawnNode(flags);
  const arrived = (): number => {
    const folder = join(data, 'blobs');
    const part =
      existsSync(folder) && readdirSync(folder, { recursive: true }).find((name) => `${name}`.endsWith('.part'));
    return part ? statSync(join(folder, `${part}`)).size : 0;
  };
  await eventually('two whole chunks have arrived, and half of another', () => arrived() === 2 * MIB);
  await first.stop('SIGKILL');
  isHeld = false;
  const second = spawnNode(flags);
  await client.wait(
    'the model is ready',
    ({ topic, json }) => topic.endsWith('/reported') && json.models[0]?.state === 'ready',
  );
  const last = model.length - 1;
  assert.equal(remote.ranges, [`0-${last}`, `${2 * MIB}-${last}`]);
  assert.is(await second.stop('SIGTERM'), 0);
  await client.mqtt.endAsync();
  await broker.close();
  remote.server.closeAllConnections();
  remote.server.close();
});

test.after(cleanUp);
test.run();
