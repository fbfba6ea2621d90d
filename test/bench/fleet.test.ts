/** The benches of dispatch and scale in their smallest size, so that they cannot rot; they are also what tests `llmasos simulate`. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';

const main = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
const llmasos = fileURLToPath(new URL('../../fleet/cli/main.ts', import.meta.url));
const run = (...words: string[]) => promisify(execFile)(process.execPath, words);

test('the quick benchmark of dispatch gives every unit to a node and prints the line that the acceptance reads', async () => {
  const { stdout } = await run(main, 'dispatch', '--quick', '--json', '--contenders', 'ours');
  assert.match(stdout, /^dispatch: \d+ units\/s over 3 s, p99 \d+ ms, 20 nodes$/m);
  const record = stdout.split('\n').find((line) => line.startsWith('{')) as string;
  const [outcome] = JSON.parse(record).outcomes;
  assert.is(outcome.undone, 0);
  assert.ok(outcome.unitsPerSecond > 0);
});

test('the quick benchmark of scale has every simulated node online again after the broker was killed', async () => {
  const { stdout } = await run(main, 'scale', '--quick', '--json', '--contenders', 'ours');
  const line = /^scale: 50 nodes on embedded: -?[\d.]+ kB a node, ([\d.]+) kbit\/s idle, back in [\d.]+ s$/m.exec(
    stdout,
  );
  assert.ok(Number(line?.[1]) >= 0, stdout);
});

test('numbers that cannot work are one sentence', async () => {
  const refusal = (...words: string[]): Promise<string> =>
    run(llmasos, 'simulate', ...words).then(
      () => 'no refusal',
      ({ stderr }: { stderr: string }) => stderr,
    );
  assert.match(await refusal('--nodes', '0'), /expected a whole number from 1/);
  assert.match(await refusal('--nodes', '30000'), /--nodes 30000: expected at most 20000/);
  assert.match(await refusal('--nodes', '1', '--prefix', 'a b'), /--prefix "a b": expected letters/);
  assert.match(
    await refusal('--nodes', '1', '--broker', 'http://x'),
    /broker "http:\/\/x": expected an address such as mqtt/,
  );
  assert.match(await refusal('--nodes', '1', '--flapping', '2'), /expected a number from 0 to 1/);
});

test.run();
