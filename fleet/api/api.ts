/**
 * The controller over HTTP. Every command is a route, made from the table; files and live results have their own.
 *
 *   POST /v1/commands/{words.joined.by.dots}   JSON arguments → {"ok":true,"result":…} or {"ok":false,"error":"…"}
 *   PUT, GET, HEAD /v1/blobs/{sha256}          files by content; GET with Range
 *   GET /v1/watch?filter=                      server-sent events
 *   GET /metrics                               Prometheus' text format
 *   GET /healthz, GET /v1/openapi.json
 */
import { AssertionError } from 'node:assert';
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { Logger } from 'pino';
import { SCRAPE_HEADERS } from '../../runtime/telemetry/telemetry-io.ts';
import { type Command, hasRoute, parseArguments } from '../commands/command.ts';
import { commands } from '../commands/index.ts';
import type { BlobStore } from '../controller/blob-store.ts';
import type { FleetMeasures } from '../controller/fleet-metrics.ts';
import type { ControllerService } from '../controller/service.ts';
import { blobRoutes } from './blob-routes.ts';
import { describeApi } from './openapi.ts';
import { originProblem } from './origin.ts';
import { watchRoute } from './watch-route.ts';

/** Arguments of a command; the longest are a model's labels. */
const COMMAND_BYTES_MAX = 8 * 2 ** 20;

export interface ApiOptions {
  readonly service: ControllerService;
  readonly blobs: BlobStore;
  /** Address that the port listens on. */
  readonly boundTo: string;
  readonly brokerConnected: () => boolean;
  readonly scrape: () => Promise<string>;
  readonly measures: Pick<FleetMeasures, 'answered'>;
  readonly log: Logger;
}

export function createApi(options: ApiOptions): Hono {
  const { service, blobs, boundTo, brokerConnected, log } = options;
  const app = new Hono();
  app.use(async (context, next) => {
    const problem = originProblem(context.req.header(), boundTo);
    return problem === undefined ? next() : context.json({ ok: false, error: problem }, 403);
  });
  const limit = bodyLimit({
    maxSize: COMMAND_BYTES_MAX,
    onError: (context) =>
      context.json({ ok: false, error: `expected arguments of at most ${COMMAND_BYTES_MAX} bytes` }, 413),
  });
  app.post('/v1/commands/:name', limit, async (context) => {
    const name = context.req.param('name');
    const command = commands.find((candidate) => commandPath(candidate) === name);
    if (!command || !hasRoute(command)) return context.json({ ok: false, error: unknownCommand(name) }, 404);
    // A page of a stranger can send other types without being asked (Fetch standard, "CORS-safelisted request-header").
    if (!context.req.header('content-type')?.startsWith('application/json'))
      return context.json({ ok: false, error: 'expected the content type application/json' }, 415);
    const given: unknown = await context.req.json().catch(() => undefined);
    if (given === undefined) return context.json({ ok: false, error: 'expected JSON arguments in the body' }, 400);
    const args = parseArguments(command, command.arguments, given);
    const beganMs = performance.now();
    let ok = false;
    try {
      const { signal } = context.req.raw;
      const result = await command.run(args, { controller: service, signal, emit: () => {} });
      ok = true;
      return context.json({ ok, result: result ?? null });
    } finally {
      options.measures.answered(name, performance.now() - beganMs, ok);
    }
  });
  blobRoutes(app, service, blobs);
  watchRoute(app, service);
  app.get('/v1/openapi.json', (context) => context.json(describeApi(commands)));
  app.get('/metrics', async (context) => context.text(await options.scrape(), 200, SCRAPE_HEADERS));
  app.get('/healthz', (context) => {
    const connected = brokerConnected();
    return context.json({ ok: connected, broker: connected ? 'connected' : 'not connected' }, connected ? 200 : 503);
  });
  app.notFound((context) =>
    context.json(
      { ok: false, error: `there is no ${context.req.method} ${context.req.path}; see /v1/openapi.json` },
      404,
    ),
  );
  app.onError((error, context) => {
    // What is refused says why; what is our own mistake goes to the log with its place.
    if (!isOurMistake(error)) return context.json({ ok: false, error: error.message }, 400);
    log.error({ err: error }, `${context.req.method} ${context.req.path} failed`);
    return context.json({ ok: false, error: `the controller made a mistake: ${error.message}; see its log` }, 500);
  });
  return app;
}

export function commandPath(command: Pick<Command, 'name'>): string {
  return command.name.join('.');
}

function unknownCommand(name: string): string {
  const names = commands.filter(hasRoute).map(commandPath);
  return `there is no command "${name}"; there are ${names.join(', ')}`;
}

function isOurMistake(error: Error): boolean {
  return [AssertionError, TypeError, RangeError, ReferenceError].some((kind) => error instanceof kind);
}
