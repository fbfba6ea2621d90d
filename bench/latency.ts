/**
 * From message to result on one machine: a client sends 32 ms of sound, a node in another process runs the voice
 * detector on it, the client hears the probability. Beside it, in the same run and between the same messages, the
 * broker's own round trips with payloads of the same sizes: one hop (the client hears its own message) and two hops
 * (another process answers at once), which is the way that a message and its result have to go.
 *
 *   npm run latency [-- --count 5000 --rate 100 --warm-up 200 --qos 0 --broker URL --main FILE --json]
 *
 * Both qualities of service unless --qos names one; the controller's own broker unless --broker names another; the
 * node from its sources unless --main names a bundle's main.js. Mosquitto needs `set_tcp_nodelay true`: without it a
 * message waits in the broker for the acknowledgement of the one before, whoever the clients are.
 */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { createStyle, wantsColour } from '../fleet/cli/style.ts';
import { decodeWav } from '../runtime/media/wav.ts';
import { connectClient, type Times } from './latency-client.ts';
import { createProcesses, machine, type Processes, SAMPLES, sourceNode, vadFolders } from './processes.ts';

const recording = new URL('../examples/fleet-in-a-box/materials/city-microphone/bus-stop.wav', import.meta.url);

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    count: { ...text, default: '5000' },
    rate: { ...text, default: '100' },
    'warm-up': { ...text, default: '200' },
    qos: text,
    broker: text,
    main: { ...text, default: sourceNode },
    json: { type: 'boolean', default: false },
  },
});

interface Figures {
  readonly p50: number;
  readonly p99: number;
}

interface Report {
  readonly qos: 0 | 1;
  readonly messages: number;
  readonly missing: number;
  readonly bytes: { readonly message: number; readonly result: number };
  /** Milliseconds. */
  readonly figures: Readonly<Record<string, Figures>>;
  readonly speechShare: number;
  /** Of the probabilities with two decimals: the same answers on every machine. */
  readonly answers: string;
}

async function measure(processes: Processes, broker: string, qos: 0 | 1): Promise<Report> {
  const [count, rate, warmUp] = [numberOf('count'), numberOf('rate'), numberOf('warm-up')];
  const node = await processes.startNode(values.main, {
    name: `latency-${qos}`,
    broker,
    ...vadFolders(processes.folder(), qos),
  });
  const sound = pcmOf(recording);
  const options = { broker, qos, count: warmUp + count, sound, bytesPerMessage: SAMPLES * 2 };
  const client = await connectClient(options);
  await client.send(0, warmUp, rate, false);
  await client.settle();
  const bytes = { message: SAMPLES * 2, result: client.resultBytes };
  const { child: echo } = await processes.start('echo.ts', [
    '--broker',
    broker,
    '--bytes',
    `${bytes.result}`,
    '--qos',
    `${qos}`,
  ]);
  await client.send(warmUp, warmUp + count, rate, true);
  await client.settle();
  await client.close();
  for (const each of [node, echo]) await processes.stop(each);
  const probabilities = client.probabilities.subarray(warmUp);
  return {
    qos,
    messages: count,
    missing: [...client.times.result.subarray(warmUp)].filter(Number.isNaN).length,
    bytes,
    figures: figuresOf(client.times, warmUp),
    speechShare: [...probabilities].filter((probability) => probability > 0.5).length / count,
    answers: createHash('sha256')
      .update([...probabilities].map((probability) => probability.toFixed(2)).join())
      .digest('hex')
      .slice(0, 12),
  };
}

/** What is added is stated against the median round trip, so that its quantiles are those of our part of the way. */
function figuresOf(times: Times, from: number): Report['figures'] {
  const [result, queue, run, oneHop, twoHops] = [times.result, times.queue, times.run, times.oneHop, times.twoHops].map(
    (column) => column.subarray(from),
  ) as [Float64Array, Float64Array, Float64Array, Float64Array, Float64Array];
  const ours = result.map((ms, index) => ms - (run[index] as number));
  const [one, two] = [quantiles(oneHop).p50, quantiles(twoHops).p50];
  return {
    'message to result': quantiles(result),
    'broker, one hop': quantiles(oneHop),
    'broker, two hops': quantiles(twoHops),
    'model run': quantiles(run),
    'wait for the computing thread': quantiles(queue),
    'added to two hops and the run': quantiles(ours.map((ms) => ms - two)),
    'added to one hop and the run': quantiles(ours.map((ms) => ms - one)),
  };
}

/** Nearest rank, of what came. */
function quantiles(column: Float64Array): Figures {
  const sorted = column.filter((ms) => !Number.isNaN(ms)).sort();
  const at = (share: number): number => {
    const ms = sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
    return Math.round(ms * 1000) / 1000;
  };
  return { p50: at(0.5), p99: at(0.99) };
}

function pcmOf(file: URL): Uint8Array {
  const { samples } = decodeWav(readFileSync(file));
  return new Uint8Array(Int16Array.from(samples, (value) => Math.round(value * 32_767)).buffer);
}

function numberOf(flag: 'count' | 'rate' | 'warm-up'): number {
  const number = Number(values[flag]);
  if (Number.isInteger(number) && number > 0) return number;
  throw new Error(`--${flag}: expected a positive whole number, got "${values[flag]}"`);
}

function print({ qos, messages, missing, bytes, figures, speechShare, answers }: Report): void {
  console.log(
    `\nQoS ${qos}: ${messages} messages of ${bytes.message} bytes, results of ${bytes.result} bytes, ${missing} missing`,
  );
  const rows = Object.entries(figures).map(([name, { p50, p99 }]) => [name, p50.toFixed(3), p99.toFixed(3)]);
  console.log(style.table(['ms', 'p50', 'p99'], rows));
  console.log(`${(speechShare * 100).toFixed(1)} % of the windows were speech; answers ${answers}`);
}

const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
if (values.qos !== undefined && !/^[01]$/.test(values.qos))
  throw new Error(`--qos: expected 0 or 1, got "${values.qos}"`);
const wanted = values.qos === undefined ? ([0, 1] as const) : [Number(values.qos) as 0 | 1];
const processes = createProcesses();
try {
  const { message } = values.broker === undefined ? await processes.start('broker.ts', []) : { message: undefined };
  const broker = values.broker ?? (message as { url: string }).url;
  const reports: Report[] = [];
  for (const qos of wanted) reports.push(await measure(processes, broker, qos));
  for (const report of reports) print(report);
  console.log(`\n${machine()}; ${values.broker ?? "the controller's broker"}, ${values.rate} messages a second`);
  if (values.json) {
    const at = new Date().toISOString();
    console.log(JSON.stringify({ bench: 'latency', at, machine: machine(), broker: values.broker ?? 'own', reports }));
  }
  process.exitCode = reports.some(({ missing }) => missing > 0) ? 1 : 0;
} finally {
  await processes.stopAll();
}
