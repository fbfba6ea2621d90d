/** Commands that run here and ask no controller: start things, try a model, look at the machine. */
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { basename, dirname, extname } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import type { Model } from '../../runtime/engine/model.ts';
import type { Request } from '../../runtime/protocol/messages.ts';
import { DEFAULT_PORTS } from '../controller/controller.ts';
import { examine } from './doctor.ts';
import type { Terminal } from './program.ts';
import { up } from './up.ts';

const formats = ['image', 'audio', 'json', 'tensors'] as const;
/** A local run has no sender that could lose patience. */
const NO_EXPIRY = Number.MAX_SAFE_INTEGER;
/** A profile takes the quickest of so many runs, or of those that fit into this time. */
const PASSES_MAX = 100;
const PROFILE_MS = 1000;

export function addLocalCommands(program: Command, terminal: Terminal): void {
  program
    .command('up')
    .description('Start a fleet in a box: a controller with its broker, and nodes, as processes on this machine')
    .option('--nodes <names...>', 'names of the nodes', ['node-1'])
    .option('--data <folder>', 'where everything is kept', 'data/fleet')
    .option('--mqtt-port <port>', 'MQTT over TCP', portOf)
    .option('--ws-port <port>', 'MQTT over WebSocket', portOf)
    .option('--http-port <port>', 'the controller', portOf)
    .action((options) => up(options, terminal));
  program
    .command('simulate')
    .description('Load for a controller: nodes that speak the real protocol and compute nothing')
    .requiredOption('--nodes <count>', 'how many', countOf)
    .option('--broker <url>', 'address of the broker', `mqtt://127.0.0.1:${DEFAULT_PORTS.mqtt}`)
    .option('--prefix <name>', 'names are PREFIX-0, PREFIX-1, …', 'simulated')
    .option('--label <key=value...>', 'labels of all of them', [])
    .option('--connects <per second>', 'how fast they come at first', countOf, 500)
    .option('--flapping <share>', 'part of them that loses its connection in a minute, such as 0.1', shareOf, 0)
    .option('--json', 'print JSON for machines')
    .action(async (options) => {
      const { simulate } = await import('./simulate.ts');
      await simulate(options, options.json || program.opts().json, terminal);
    });
  passThrough(program, 'controller', 'Start a controller', async () => import('../main.ts'));
  passThrough(program, 'node', 'Start a node', async () => import('../../devices/gateway/main.ts'));
  program
    .command('doctor')
    .description('Say what works on this machine and what to do about the rest')
    .option('--json', 'print JSON for machines')
    .option('--controller <url>', 'address of the controller')
    .action(async (options) => {
      const { checks, text } = await examine(options.controller ?? program.opts().controller, terminal.style);
      terminal.print(options.json || program.opts().json ? JSON.stringify(checks, null, 2) : text);
      if (checks.some(({ state }) => state === 'failed')) process.exitCode = 1;
    });
}

function countOf(given: string): number {
  const count = Number(given);
  if (Number.isInteger(count) && count >= 1) return count;
  throw new InvalidArgumentError('expected a whole number from 1.');
}

function shareOf(given: string): number {
  const share = Number(given);
  if (share >= 0 && share <= 1) return share;
  throw new InvalidArgumentError('expected a number from 0 to 1.');
}

function portOf(given: string): number {
  const port = Number(given);
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new InvalidArgumentError('expected a port from 1 to 65535.');
}

/** A program of its own with flags of its own: its file reads the rest of the words. */
function passThrough(program: Command, name: string, summary: string, start: () => Promise<unknown>): void {
  program
    .command(name)
    .description(`${summary} (${name} --help names its flags)`)
    .helpOption(false)
    .allowUnknownOption()
    .allowExcessArguments()
    .passThroughOptions()
    .action(async () => {
      process.argv.splice(2, 1);
      await start();
    });
}

/** `infer FILE.onnx …`: the model is a file, so it runs in this process. Returns false when the model is a name. */
export async function inferHere(args: Record<string, unknown>, asJson: boolean, terminal: Terminal): Promise<boolean> {
  const file = String(args.model);
  if (extname(file) !== '.onnx' && !existsSync(file)) return false;
  const given = formats.filter((format) => typeof args[format] === 'string');
  const format = given[0];
  if (!format || given.length > 1)
    throw new Error(`infer: expected one of --image, --audio, --json and --tensors, got ${given.length}`);
  if (args.node !== undefined)
    throw new Error(
      'infer: expected a registered model with --node, got a file; add it first with "llmasos models add"',
    );
  if (args.reproducible && (args.profile || args.trace !== undefined))
    throw new Error('infer: expected --reproducible or a profile, got both: a profile is one of the fastest way');
  const input = await readInput(String(args[format]));
  if (args.profile || args.trace !== undefined) await profile(file, format, input, args, asJson, terminal);
  else {
    const result = await runOnce(file, format, input, args.reproducible === true);
    terminal.print(asJson ? JSON.stringify(result, null, 2) : describe(result, terminal));
  }
  return true;
}

function nameOf(file: string): string {
  return basename(file, '.onnx')
    .replace(/[^A-Za-z0-9_-]/g, '-')
    .slice(0, 64);
}

/** The input decoded, the model run on it, and its outputs as a node would answer them. */
async function answer(model: Model, format: Request['format'], input: Uint8Array): Promise<unknown> {
  const { createRequests } = await import('../../runtime/node/requests.ts');
  const { createPipeline } = await import('../../runtime/triggers/pipeline.ts');
  const requests = createRequests({
    ...{ createPipeline, node: 'here', now: Date.now, readyModels: () => [model.name], triggers: () => [] },
    loaded: () => ({ model, version: 1 }),
    fetchInput: () => Promise.reject(new Error('the input is given inline')),
  });
  const base64 = Buffer.from(input).toString('base64');
  const reply = await requests.answer({
    ...{ id: 'once', kind: 'infer', expiresAt: NO_EXPIRY, model: model.name, format },
    input: { base64 },
  });
  if (!reply.ok) throw new Error(reply.error);
  return reply.result;
}

async function runOnce(file: string, format: Request['format'], input: Uint8Array, reproducible: boolean) {
  const { createEngine } = await import('../../runtime/engine/engine.ts');
  const { fileSource } = await import('../../runtime/onnx/file-io.ts');
  const { loadModel } = await import('../../runtime/offload/load.ts');
  const engine = await createEngine({ reproducible });
  try {
    const model = await loadModel(engine, fileSource(file), { name: nameOf(file), folder: dirname(file) });
    const started = performance.now();
    const result = await answer(model, format, input);
    const { name, engine: runs, fallbackReason } = model;
    return { model: name, engine: runs, fallbackReason, ms: performance.now() - started, result };
  } finally {
    await engine.close();
  }
}

/** `infer FILE.onnx … --profile`: says where the time goes, instead of the answer. */
async function profile(
  file: string,
  format: Request['format'],
  input: Uint8Array,
  args: Record<string, unknown>,
  asJson: boolean,
  { print, style }: Terminal,
): Promise<void> {
  const { ProfiledModel } = await import('../../runtime/engine/profile.ts');
  const { reportOf, traceOf } = await import('../../runtime/engine/profile-report.ts');
  const { profileText } = await import('./profile-text.ts');
  const { fileSource } = await import('../../runtime/onnx/file-io.ts');
  const options = { name: nameOf(file), folder: dirname(file), passes: PASSES_MAX, budgetMs: PROFILE_MS };
  const model = new ProfiledModel(fileSource(file), options);
  await answer(model, format, input);
  if (!model.profile) throw new Error(`${file}: the input asks for no run, so there is nothing to profile`);
  const report = reportOf(model.profile);
  print(asJson ? JSON.stringify(report, null, 2) : profileText(report, style));
  if (args.trace === undefined) return;
  const target = String(args.trace);
  await writeFile(target, JSON.stringify(traceOf(model.profile))).catch((cause: Error) => {
    throw new Error(`--trace: ${target} cannot be written: ${cause.message}`, { cause });
  });
  if (!asJson) print(style.dim(`the quickest run and the first as a trace: open ${target} with ui.perfetto.dev`));
}

async function readInput(file: string): Promise<Uint8Array> {
  return readFile(file).catch((cause: NodeJS.ErrnoException) => {
    throw new Error(`${file}: ${cause.code === 'ENOENT' ? 'there is no such file' : cause.message}`, { cause });
  });
}

function describe(run: Awaited<ReturnType<typeof runOnce>>, { style }: Terminal): string {
  const how = run.fallbackReason ? `${run.engine}, because ${run.fallbackReason}` : run.engine;
  const head = style.dim(`${run.model} by ${how}, ${run.ms.toFixed(1)} ms:`);
  return `${head}\n${JSON.stringify(run.result, shortArrays, 2)}`;
}

const NUMBERS_SHOWN = 16;

/** People want to see the first numbers; machines get all with --json. */
function shortArrays(_key: string, value: unknown): unknown {
  if (!Array.isArray(value) || value.length <= NUMBERS_SHOWN || typeof value[0] !== 'number') return value;
  return `[${value.slice(0, NUMBERS_SHOWN).join(', ')}, … ${value.length} in all]`;
}
