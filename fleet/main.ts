/** A controller as a process. Exit code 2: it could not start, for the reason in one line on stderr. */
import { parseArgs } from 'node:util';
import { pino } from 'pino';
import { withoutPassword } from '../runtime/node/broker-stream-io.ts';
import { onStop } from '../runtime/node/stop-io.ts';
import { type ControllerOptions, startController } from './controller/controller.ts';

const HELP = `A controller: says what each node should have and do.

  --data DIR         folder for all that it keeps; made when absent
  --host ADDRESS     where it listens (127.0.0.1)
  --http-port N      commands and files (7700)
  --mqtt-port N      its own broker (1883)
  --ws-port N        the same over WebSockets (9001)
  --broker URL       another broker, in place of its own: mqtt:// or mqtts://; of a
                     cluster the servers with commas between them
  --public-url URL   where nodes reach its HTTP side, if not where it listens
  --peer-url URL     where other controllers on its database do, if not where it listens
  --database URL     state in PostgreSQL: postgres://USER@HOST/NAME          LLMASOS_DATABASE
  --blobs PLACE      files in another folder, or in a bucket: s3://BUCKET/FOLDER

Several controllers with one database, one place for files and one --broker answer alike and share tasks; one leads. What one
did another takes over within 10 s. Without --broker the others wait until they lead.
Keys and address of the bucket are those of AWS's own tools: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, AWS_ENDPOINT_URL_S3 …
Metrics for Prometheus are at GET /metrics of the HTTP port. Traces go to OTEL_EXPORTER_OTLP_ENDPOINT, where it is set.
`;

try {
  const log = pino({ level: process.env.LOG_LEVEL ?? 'info' }, pino.destination(2));
  const waiting = new AbortController();
  const onLost = (): void => {
    log.fatal('another controller took over from this one; ending, to be started again');
    process.exit(1);
  };
  const environment = process.env;
  const flags = readFlags(process.argv.slice(2));
  if (flags === undefined) {
    process.stdout.write(HELP);
    process.exit(0);
  }
  const starting = startController({ ...flags, log, environment, onLost, signal: waiting.signal });
  onStop((reason) => {
    log.info(`${reason}: stopping`);
    waiting.abort();
    starting
      .then(
        (controller) => controller.close(),
        () => {},
      )
      .then(() => process.exit(0));
  });
  const { mqttUrl, webSocketUrl, httpUrl } = await starting;
  log.info({ mqttUrl: withoutPassword(mqttUrl), webSocketUrl, httpUrl }, 'the controller is ready');
} catch (error) {
  process.stderr.write(`llmasos controller: ${(error as Error).message}\n`);
  process.exit(2);
}

/** Undefined where help is asked for. */
function readFlags(words: string[]): ControllerOptions | undefined {
  const text = { type: 'string' } as const;
  const {
    values: { help, ...values },
  } = parseArgs({
    args: words,
    options: {
      data: text,
      host: text,
      'mqtt-port': text,
      'ws-port': text,
      'http-port': text,
      broker: text,
      'public-url': text,
      'peer-url': text,
      database: text,
      blobs: text,
      help: { type: 'boolean', short: 'h' },
    },
  });
  if (help) return undefined;
  if (values.data === undefined)
    throw new Error('--data is missing: a folder for all that it keeps; --help names all flags');
  return {
    data: values.data,
    host: values.host,
    mqttPort: portOf(values, 'mqtt-port'),
    webSocketPort: portOf(values, 'ws-port'),
    httpPort: portOf(values, 'http-port'),
    broker: values.broker,
    publicUrl: values['public-url'],
    peerUrl: values['peer-url'],
    database: values.database ?? process.env.LLMASOS_DATABASE,
    blobs: values.blobs,
  };
}

function portOf(values: Readonly<Record<string, string | undefined>>, flag: string): number | undefined {
  const given = values[flag];
  if (given === undefined) return undefined;
  const port = Number(given);
  if (!/^\d+$/.test(given) || port > 65_535) throw new Error(`--${flag} ${given}: expected a port from 0 to 65535`);
  return port;
}
