/**
 * What `npm start` runs: a controller, three nodes and three feeds as processes of their own, real models answering real
 * messages, and a live table that says how many answers were right.
 *
 *   npm start                    until Ctrl-C
 *   npm start -- --once          until every trigger has given 20 right answers, then a table as text and exit code 0
 *   npm start -- --fresh         forget what the last start kept
 */
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Command, InvalidArgumentError } from 'commander';
import { createLogUpdate } from 'log-update';
import { type Box, startBox } from '../../fleet/cli/box.ts';
import { programFile } from '../../fleet/cli/program-file.ts';
import { createStyle, wantsColour } from '../../fleet/cli/style.ts';
import { DEFAULT_PORTS } from '../../fleet/controller/controller.ts';
import type { ControllerService } from '../../fleet/controller/service.ts';
import { onStop } from '../../runtime/node/stop-io.ts';
import { install } from './install.ts';
import { createJudge } from './judge.ts';
import { listen } from './listen.ts';
import { projectFolder } from './places.ts';
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
/** Which trigger answers each feed. */
const feeds = new Map([
  ['city-speech', 'city-microphone'],
  ['factory-labels', 'factory-camera'],
  ['vehicle-speed-limit', 'vehicle-camera'],
]);

function port(value: string): number {
  const number = Number(value);
  if (Number.isInteger(number) && number > 0 && number < 65_536) return number;
  throw new InvalidArgumentError('expected a port, 1 to 65535.');
}

const options = new Command('npm start --')
  .description('A fleet in a box: real models answer real sensor messages on this machine.')
  .option('--once', `end when every trigger has given ${RIGHT_WANTED} right answers`, false)
  .option('--fresh', 'forget models, triggers and state of the last start', false)
  .option('--data <folder>', 'where everything is kept', join(projectFolder, 'data/fleet-in-a-box'))
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
  let firstRightMs: number | undefined;
  const ear = await listen(mqttUrl, judge, () => {
    if (firstRightMs !== undefined || judge.scores(Date.now()).every(({ right }) => right === 0)) return;
    firstRightMs = performance.now() - startedAt;
    say(`First right answer after ${(firstRightMs / 1000).toFixed(1)} s`);
  });
  say(`Broker ${mqttUrl} · controller ${httpUrl}`);
  await whenReady(controller, stopping.signal, (trigger) => {
    const feed = feeds.get(trigger) as string;
    const file = programFile(`examples/fleet-in-a-box/feeds/${feed}.ts`);
    supervisor.start({ name: feed, file, arguments: ['--broker', mqttUrl] });
  });
  let progress: Progress[] = [];
  while (!stopping.signal.aborted) {
    progress = progressOf(await controller.nodes(), judge.scores(Date.now()));
    const done = progress.every(({ right }) => right >= RIGHT_WANTED);
    live?.(`\n${renderTable(progress, style)}\n\n${ownMessages(mqttUrl, httpUrl)}\n\nCtrl-C ends everything.`);
    if (options.once && (done || performance.now() - startedAt > ONCE_MS_MAX)) break;
    await new Promise((resolve) => setTimeout(resolve, REFRESH_MS));
  }
  await ear.close();
  live?.done();
  if (!options.once) return 0;
  return report(progress);
}

/**
 * Tells of each of the demonstration's triggers once that it is ready: a feed that begins before its models are loaded would only prove
 * that they were not. Resolves after the last.
 */
async function whenReady(
  controller: ControllerService,
  signal: AbortSignal,
  onReady: (trigger: string) => void,
): Promise<void> {
  const until = performance.now() + READY_MS_MAX;
  const awaited = new Set(feeds.keys());
  while (!signal.aborted) {
    const missing: string[] = [];
    for (const { trigger, nodes } of await controller.triggers()) {
      if (!awaited.has(trigger.name)) continue;
      const late = nodes.filter(({ state }) => state !== 'ready');
      if (nodes.length > 0 && late.length === 0) {
        awaited.delete(trigger.name);
        onReady(trigger.name);
      } else if (nodes.length === 0) missing.push(`${trigger.name}: no node yet`);
      else missing.push(...late.map(({ node, state, error }) => `${trigger.name} on ${node}: ${error ?? state}`));
    }
    if (awaited.size === 0) return;
    if (performance.now() > until)
      throw new Error(`triggers are not ready after ${READY_MS_MAX / 1000} s: ${missing.join('; ')}`);
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
