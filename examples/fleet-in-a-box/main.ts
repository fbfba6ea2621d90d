/**
 * What `npm start` runs: a controller, three nodes and three feeds as processes of their own, real models answering real
 * messages, and a live table that says how many answers were right.
 *
 *   npm start                    until Ctrl-C
 *   npm start -- --once          until every trigger has given 20 right answers, then a table as text and exit code 0
 *   npm start -- --fresh         forget what the last start kept
 */
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Command, InvalidArgumentError } from 'commander';
import { createLogUpdate } from 'log-update';
import { type Box, startBox } from '../../fleet/cli/box.ts';
import { createStyle, wantsColour } from '../../fleet/cli/style.ts';
import { DEFAULT_PORTS } from '../../fleet/controller/controller.ts';
import type { ControllerService } from '../../fleet/controller/service.ts';
import { onStop } from '../../runtime/node/stop-io.ts';
import { install } from './install.ts';
import { createJudge } from './judge.ts';
import { listen } from './listen.ts';
import { type Progress, progressOf, renderTable } from './table.ts';
import { readTruth } from './truth.ts';

const RIGHT_WANTED = 20;
const ONCE_MS_MAX = 10 * 60_000;
const REFRESH_MS = 500;
const READY_MS_MAX = 60_000;
const READY_POLL_MS = 100;

const nodes = ['vehicle-1', 'factory-1', 'city-1'].map((name) => ({
  name,
  labels: { place: name.replace(/-\d+$/, '') },
}));
const feeds = ['city-microphone', 'factory-camera', 'vehicle-camera'];
const here = (path: string) => fileURLToPath(new URL(path, import.meta.url));

function port(value: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  throw new InvalidArgumentError('expected a port, 1 to 65535.');
}

const options = new Command('npm start --')
  .description('A fleet in a box: real models answer real sensor messages on this machine.')
  .option('--once', `end when every trigger has given ${RIGHT_WANTED} right answers`, false)
  .option('--fresh', 'forget models, triggers and state of the last start', false)
  .option('--data <folder>', 'where everything is kept', here('../../data/fleet-in-a-box'))
  .option('--mqtt-port <port>', 'MQTT over TCP', port)
  .option('--ws-port <port>', 'MQTT over WebSocket', port)
  .option('--http-port <port>', 'the controller', port)
  .parse()
  .opts<{
    once: boolean;
    fresh: boolean;
    data: string;
    mqttPort?: number;
    wsPort?: number;
    httpPort?: number;
  }>();

const startedAt = performance.now();
const stopping = new AbortController();
onStop(() => stopping.abort());

const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
const live = process.stdout.isTTY && !options.once ? createLogUpdate(process.stdout) : undefined;
const say = (line: string): void => (live ? live.persist(line) : console.log(line));

if (options.fresh) rmSync(options.data, { recursive: true, force: true });
let box: Box | undefined;
try {
  say('Starting a controller and three nodes …');
  box = await startBox({
    ...{ data: options.data, nodes, mqttPort: options.mqttPort, httpPort: options.httpPort },
    webSocketPort: options.wsPort,
    signal: stopping.signal,
    onExit: (name, reason) => say(style.bad(`${name} ${reason}; starting it again`)),
  });
  process.exitCode = await run(box);
} catch (error) {
  console.error(`llmasos: ${error instanceof Error ? error.message : error}`);
  process.exitCode = 1;
} finally {
  await box?.stop();
}
process.exit();

async function run({ controller, mqttUrl, httpUrl, supervisor }: Box): Promise<number> {
  await install(controller, say);
  const judge = createJudge(readTruth());
  await triggersReady(controller, stopping.signal);
  const ear = await listen(mqttUrl, judge);
  for (const feed of feeds)
    supervisor.start({ name: feed, file: here(`feeds/${feed}.ts`), arguments: ['--broker', mqttUrl] });
  say(`Broker ${mqttUrl} · controller ${httpUrl}`);
  let firstRightMs: number | undefined;
  let progress: Progress[] = [];
  while (!stopping.signal.aborted) {
    progress = progressOf(await controller.nodes(), judge.scores(Date.now()));
    const done = progress.every(({ right }) => right >= RIGHT_WANTED);
    if (firstRightMs === undefined && progress.some(({ right }) => right > 0)) {
      firstRightMs = performance.now() - startedAt;
      say(`First right answer after ${(firstRightMs / 1000).toFixed(1)} s`);
    }
    live?.(`\n${renderTable(progress, style)}\n\n${ownMessages(mqttUrl, httpUrl)}\n\nCtrl-C ends everything.`);
    if (options.once && (done || performance.now() - startedAt > ONCE_MS_MAX)) break;
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
  await ear.close();
  live?.done();
  if (!options.once) return 0;
  return report(progress);
}

/** A feed that begins before its models are loaded would only prove that they were not. */
async function triggersReady(controller: ControllerService, signal: AbortSignal): Promise<void> {
  const until = performance.now() + READY_MS_MAX;
  while (!signal.aborted) {
    const states = (await controller.triggers()).flatMap(({ trigger, nodes }) =>
      nodes.length === 0
        ? [`${trigger.name}: no node yet`]
        : nodes
            .filter(({ state }) => state !== 'ready')
            .map(({ node, state, error }) => `${trigger.name} on ${node}: ${error ?? state}`),
    );
    if (states.length === 0) return;
    if (performance.now() > until)
      throw new Error(`triggers are not ready after ${READY_MS_MAX / 1000} s: ${states.join('; ')}`);
    await new Promise((resolve) => setTimeout(resolve, READY_POLL_MS));
  }
}

/** Prints the table and what is missing. Returns the exit code. */
function report(progress: readonly Progress[]): number {
  console.log(`\n${renderTable(progress, style)}`);
  const missing = progress.filter(({ right }) => right < RIGHT_WANTED);
  for (const { trigger, right, lastMistake } of missing)
    console.error(
      `${trigger}: expected ${RIGHT_WANTED} right answers, got ${right}${lastMistake ? `; last mistake: ${lastMistake}` : ''}`,
    );
  return missing.length === 0 ? 0 : 1;
}

/** Lines to paste that work as they stand, in the folder of the clone. */
function ownMessages(mqttUrl: string, httpUrl: string): string {
  const { port } = new URL(mqttUrl);
  const at = port === String(DEFAULT_PORTS.mqtt) ? '' : ` -p ${port}`;
  const controller = httpUrl.endsWith(`:${DEFAULT_PORTS.http}`) ? '' : ` --controller ${httpUrl}`;
  const photo = 'examples/fleet-in-a-box/materials/factory-camera/filter.jpg';
  return [
    style.dim('Send a message of your own, from a second terminal in this folder:'),
    `  mosquitto_sub${at} -t factory/mine/labels -C 1 & sleep 1; mosquitto_pub${at} -t factory/mine/camera -f ${photo}`,
    `  npx llmasos infer ppocr-rec --image ${photo} --node factory-1${controller}`,
  ].join('\n');
}
