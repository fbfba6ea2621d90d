/** Starts a node from the command line: reads flags and environment, nothing else. `--help` names them. */
import { parseArgs } from 'node:util';
import pino from 'pino';
import packageFile from '../../package.json' with { type: 'json' };
import { preferThisThread } from '../../runtime/engine/thread-priority-io.ts';
import { onStop } from '../../runtime/node/stop-io.ts';
import { logLevels, type Settings } from '../../runtime/protocol/settings.ts';
import { connectLauncher } from './launched.ts';
import { LogLines } from './log-lines.ts';
import { startNode } from './node.ts';
import { readTenants } from './tenants.ts';

const HELP = `A node: runs models on messages from an MQTT broker.

  --name NAME        this node's name: letters, digits, _ and -           LLMASOS_NAME
  --broker URL       mqtt://, mqtts://, ws:// or wss://; of a cluster     LLMASOS_BROKER
                     the servers with commas between them
  --data DIR         folder for all that it keeps; made when absent       LLMASOS_DATA
  --labels K=V,K=V   labels by which triggers are assigned                LLMASOS_LABELS
  --triggers DIR     its own triggers (*.yaml), controller or not         LLMASOS_TRIGGERS
  --models DIR       its own models (NAME.onnx, NAME.labels.txt)          LLMASOS_MODELS
  --memory MB        memory that one model may take (what is free)        LLMASOS_MEMORY
  --budget MB        memory that all models may take together (what is
                     free); those unused for longest make room            LLMASOS_BUDGET
  --pin NAME,NAME    models that stay in memory                           LLMASOS_PIN
  --gpu NAME,NAME    models that may run on a GPU, too, where one proves
                     itself: each run where it is expected to end first   LLMASOS_GPU
  --tenants N=W,N=W:R  whose runs share the cores by weight W, each with at
                     most R runs of a class unfinished (4096)             LLMASOS_TENANTS
  --reproducible     the same bits on every machine, slower               LLMASOS_REPRODUCIBLE=1
  --metrics PORT     GET /metrics for Prometheus; also ADDRESS:PORT       LLMASOS_METRICS
  --log LEVEL        trace, debug, info, warn, error or silent (info)     LLMASOS_LOG

Started by the launcher (launcher.js beside this file, with the same flags), it can be given other versions of itself:
  --trial SECONDS    in which such a version has to prove itself (300)

Traces go to OTEL_EXPORTER_OTLP_ENDPOINT (OpenTelemetry, OTLP over HTTP), where it is set.
`;

/** As the engine allows: what its kernels need, and what they can address. */
const BUDGET_MB: [number, number] = [3, 4294];

/** Exit code for flags that cannot work, however often they are tried. */
const USAGE = 2;

function readOptions() {
  const flag = { type: 'string' } as const;
  const { values } = parseArgs({
    options: {
      name: flag,
      broker: flag,
      data: flag,
      labels: flag,
      triggers: flag,
      models: flag,
      memory: flag,
      budget: flag,
      pin: flag,
      gpu: flag,
      tenants: flag,
      metrics: flag,
      log: flag,
      reproducible: { type: 'boolean' },
      help: { type: 'boolean', short: 'h' },
    },
  });
  const value = (name: Exclude<keyof typeof values, 'help' | 'reproducible'>): string | undefined =>
    values[name] ?? process.env[`LLMASOS_${name.toUpperCase()}`];
  const needed = (name: 'name' | 'broker' | 'data'): string => {
    const given = value(name);
    if (!given) throw new Error(`--${name} is missing; --help names all flags`);
    return given;
  };
  if (values.help) return undefined;
  return {
    name: needed('name'),
    broker: needed('broker'),
    data: needed('data'),
    labels: readLabels(value('labels')),
    triggers: value('triggers'),
    models: value('models'),
    modelMaxBytes: toBytes(readMegabytes('memory', value('memory'))),
    onGpu: value('gpu')?.split(','),
    metrics: value('metrics'),
    reproducible: values.reproducible ?? readSwitch('LLMASOS_REPRODUCIBLE'),
    settings: {
      logLevel: readLevel(value('log')),
      memoryBudgetMb: readMegabytes('budget', value('budget'), BUDGET_MB),
      pinned: value('pin')?.split(','),
      tenants: value('tenants') ? readTenants(value('tenants')) : undefined,
    },
  };
}

function readLevel(text: string | undefined): Settings['logLevel'] {
  if (text === undefined) return undefined;
  const level = logLevels.find((each) => each === text);
  if (!level) throw new Error(`--log: expected ${logLevels.join(', ')}, got "${text}"`);
  return level;
}

/** An environment variable that is 1 or 0. */
function readSwitch(name: string): boolean {
  const given = process.env[name] || '0';
  if (given !== '0' && given !== '1') throw new Error(`${name}: expected 1 or 0, got "${given}"`);
  return given === '1';
}

function readMegabytes(flag: string, text: string | undefined, [least, most] = [0, Infinity]): number | undefined {
  if (text === undefined) return undefined;
  const megabytes = Number(text);
  if (!(megabytes > least && megabytes <= most))
    throw new Error(
      `--${flag}: expected megabytes above ${least}${most < Infinity ? `, at most ${most}` : ''}, such as 200, got "${text}"`,
    );
  return megabytes;
}

const toBytes = (megabytes: number | undefined): number | undefined => megabytes && megabytes * 1e6;

function readLabels(text: string | undefined): Record<string, string> {
  const labels: Record<string, string> = {};
  if (!text) return labels;
  for (const pair of text.split(',')) {
    const [key, value] = pair.split('=', 2);
    if (!key || value === undefined) throw new Error(`--labels: expected key=value,key=value, got "${text}"`);
    labels[key] = value;
  }
  return labels;
}

async function main(): Promise<void> {
  const options = readOptions();
  if (!options) {
    process.stdout.write(HELP);
    return;
  }
  const { metrics, ...rest } = options;
  const lines = new LogLines(pino.destination(2));
  const log = pino({ level: rest.settings.logLevel ?? 'info', base: { node: rest.name } }, lines);
  const measured = await openMeasuring(rest.name, metrics);
  const telemetry = measured?.telemetry;
  const connected = connectLauncher(packageFile.version);
  const launcher = connected && {
    ...{ launched: connected.launched, kept: connected.kept },
    proved: () => connected.send({ type: 'proved' }),
    notYet: (reason: string) => connected.send({ type: 'notYet', reason }),
    switchTo: async (program: string | null) => {
      await connected.tryNext(program);
      stop('another version');
    },
  };
  const starting = startNode({ ...rest, telemetry, log, launcher, logLines: (count) => lines.last(count) });
  let isStopping = false;
  const stop = (reason: string): void => {
    if (isStopping) return;
    isStopping = true;
    log.info({ reason }, 'stopping');
    starting
      .then((node) => node.close())
      .then(() => measured?.close())
      .then(
        () => process.exit(0),
        (error: Error) => {
          log.error({ err: error }, 'stopping failed');
          process.exit(1);
        },
      );
  };
  onStop(stop);
  await starting;
  // Not before: nodes that start together would keep the broker from its work.
  if (!preferThisThread())
    log.debug(
      'the threads that compute have the same priority as the one that serves messages: see docs/scheduling.md',
    );
  log.info({ data: rest.data, metricsPort: measured?.port }, 'node started');
}

/** Loads OpenTelemetry where somebody asks for metrics or traces: an idle node stays small. */
async function openMeasuring(name: string, metrics: string | undefined) {
  const { env } = process;
  if (metrics === undefined && !(env.OTEL_EXPORTER_OTLP_ENDPOINT || env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT)) return;
  const { openTelemetry } = await import('../../runtime/telemetry/telemetry-io.ts');
  const { parseMetricsAddress, serveMetrics } = await import('./metrics-server.ts');
  const address = metrics === undefined ? undefined : parseMetricsAddress(metrics);
  const service = { service: 'llmasos-node', version: packageFile.version, instance: name };
  const telemetry = openTelemetry({ ...service, environment: env });
  const server = address && (await serveMetrics(address, telemetry));
  const close = (): Promise<void> => {
    server?.close();
    return telemetry.close();
  };
  return { telemetry, port: server?.port, close };
}

main().catch((error: Error) => {
  process.stderr.write(`node: ${error.message}\n`);
  process.exit(USAGE);
});
