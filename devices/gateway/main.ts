/** Starts a node from the command line: reads flags and environment, nothing else. `--help` names them. */
import { parseArgs } from 'node:util';
import pino from 'pino';
import { onStop } from '../../runtime/node/stop-io.ts';
import { LogLines } from './log-lines.ts';
import { startNode } from './node.ts';

const HELP = `A node: runs models on messages from an MQTT broker.

  --name NAME        this node's name: letters, digits, _ and -           LLMASOS_NAME
  --broker URL       mqtt://, mqtts://, ws:// or wss://                   LLMASOS_BROKER
  --data DIR         folder for all that it keeps; made when absent       LLMASOS_DATA
  --labels K=V,K=V   labels by which triggers are assigned                LLMASOS_LABELS
  --triggers DIR     its own triggers (*.yaml), controller or not         LLMASOS_TRIGGERS
  --models DIR       its own models (NAME.onnx, NAME.labels.txt)          LLMASOS_MODELS
  --memory MB        memory that one model may take (what is free)        LLMASOS_MEMORY
  --reproducible     the same bits on every machine, slower               LLMASOS_REPRODUCIBLE=1
  --log LEVEL        trace, debug, info, warn, error or silent (info)     LLMASOS_LOG
`;

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
  const level = value('log') ?? 'info';
  if (level !== 'silent' && !(level in pino.levels.values))
    throw new Error(`--log: expected trace, debug, info, warn, error or silent, got "${level}"`);
  return {
    name: needed('name'),
    broker: needed('broker'),
    data: needed('data'),
    labels: readLabels(value('labels')),
    triggers: value('triggers'),
    models: value('models'),
    modelMaxBytes: readMegabytes(value('memory')),
    reproducible: values.reproducible ?? readSwitch('LLMASOS_REPRODUCIBLE'),
    level,
  };
}

/** An environment variable that is 1 or 0. */
function readSwitch(name: string): boolean {
  const given = process.env[name] || '0';
  if (given !== '0' && given !== '1') throw new Error(`${name}: expected 1 or 0, got "${given}"`);
  return given === '1';
}

function readMegabytes(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const megabytes = Number(text);
  if (!(megabytes > 0)) throw new Error(`--memory: expected megabytes, such as 200, got "${text}"`);
  return megabytes * 1e6;
}

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
  const { level, ...rest } = options;
  const lines = new LogLines(pino.destination(2));
  const log = pino({ level, base: { node: rest.name } }, lines);
  const starting = startNode({ ...rest, log, logLines: (count) => lines.last(count) });
  onStop((reason) => {
    log.info({ reason }, 'stopping');
    starting
      .then((node) => node.close())
      .then(
        () => process.exit(0),
        (error: Error) => {
          log.error({ err: error }, 'stopping failed');
          process.exit(1);
        },
      );
  });
  await starting;
  log.info({ data: rest.data }, 'node started');
}

main().catch((error: Error) => {
  process.stderr.write(`node: ${error.message}\n`);
  process.exit(USAGE);
});
