/** A short run of kill.ts, which says what is promised and how it is seen. The long one: `node test/end-to-end/kill.ts`. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type BrokerKind, runKills } from './kill.ts';
import { whereMosquitto } from './processes.ts';

const seed = Number(process.env.SEED ?? Math.floor(Math.random() * 2 ** 31));
console.log(`seed ${seed}`);

async function survive(broker: BrokerKind, kills: number): Promise<void> {
  const { figures, losses } = await runKills({ broker, kills, nodes: 2, seed, pauseMs: 1_200 });
  assert.equal(losses, []);
  assert.is(Number(figures.kills) + Number(figures['cut off instead']), kills);
  assert.ok(Number(figures['acknowledged by nodes']) > 0);
  assert.ok(Number(figures['triggers acknowledged']) > 0);
}

test('kill -9 of the controller with its broker, and of each node, or a cut line, under load: nothing acknowledged is lost', () =>
  survive('embedded', 3));

whereMosquitto(test)(
  'kill -9 of controller, nodes and an external broker, each, or a cut line, under load: nothing acknowledged is lost',
  () => survive('mosquitto', 4),
);

test.run();
