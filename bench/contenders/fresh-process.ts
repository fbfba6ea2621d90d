/**
 * A process that lives for one job: loads an engine, makes the job ready, answers once and then a few times more. Started by
 * bench/fresh.ts, as a bundle, with the contender's name, the folder of the job and the package.json that peers are found from. It
 * tells on its standard output, and by a clock, that cost next to nothing to load: what is measured is theirs.
 */
import { readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { deserialize, serialize } from 'node:v8';
import type * as Onnxruntime from 'onnxruntime-web';
import type { Tensors } from './contender.ts';

/** Milliseconds, but for memory. */
export interface FreshMarks {
  /** Loading the library's code. */
  readonly importMs: number;
  /** Making the engine and the model ready. */
  readonly openMs: number;
  readonly firstRunMs: number;
  /** The most that was resident until the first answer. */
  readonly firstPeakBytes: number;
}

export type FreshMessage =
  | { readonly kind: 'answered'; readonly marks: FreshMarks; readonly about: string; readonly outputs: Tensors }
  /** The most that was resident in the whole life of the process. */
  | { readonly kind: 'ended'; readonly peakBytes: number };

type Run = () => Promise<Tensors>;
/** Imports, and gives the function that makes a job ready from a file, which each library reads as it likes best. */
type Loader = () => Promise<
  (model: string, inputs: Tensors) => Promise<{ run: Run; close?: () => Promise<void>; about: string }>
>;

const [name = '', folder = '', peers = '', runs = '0'] = process.argv.slice(2);

function onnxruntime(ort: typeof Onnxruntime, options: Onnxruntime.InferenceSession.SessionOptions) {
  return async (model: string, inputs: Tensors) => {
    const session = await ort.InferenceSession.create(model, { ...options, logSeverityLevel: 3 });
    const feeds = Object.fromEntries(
      Object.entries(inputs).map(([input, { type, data, dims }]) => [
        input,
        new ort.Tensor(type as 'float32', data as Float32Array, dims),
      ]),
    );
    const run = async (): Promise<Tensors> => {
      const results = Object.entries(await session.run(feeds));
      return Object.fromEntries(
        results.map(([output, { type, dims, data }]) => [output, { type, dims, data }]),
      ) as Tensors;
    };
    return { run, about: ort.env.versions.common ?? '' };
  };
}

const loaders: Readonly<Record<string, Loader>> = {
  ours: async () => {
    const { createEngine, fileSource, tensorsOf } = await import('./fresh-ours.ts');
    return async (file, inputs) => {
      // One core: so do the others.
      const engine = await createEngine({ cores: 1 });
      const model = await engine.load(fileSource(file), { name: 'fresh' });
      const run = async (): Promise<Tensors> => tensorsOf((await model.run(inputs)).outputs);
      return { run, close: () => engine.close(), about: engine.info.build };
    };
  },
  'onnxruntime-web': async () => {
    const ort = await import('onnxruntime-web');
    ort.env.wasm.numThreads = 1;
    return onnxruntime(ort, { executionProviders: ['wasm'] });
  },
  'onnxruntime-node': async () =>
    onnxruntime(createRequire(peers)('onnxruntime-node'), { intraOpNumThreads: 1, interOpNumThreads: 1 }),
};

const KIBIBYTE = 1024;
/** getrusage(2): ru_maxrss, which Node gives in kibibytes everywhere. */
const peakBytes = (): number => process.resourceUsage().maxRSS * KIBIBYTE;
const nowMs = (): number => Number(process.hrtime.bigint()) / 1e6;

/** Its length (u32, little-endian), and the message as V8 writes values. */
function send(message: FreshMessage): void {
  const bytes = serialize(message);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(bytes.length);
  for (let rest: Uint8Array = Buffer.concat([length, bytes]); rest.length > 0; ) rest = rest.subarray(write(rest));
}

/** How much went into the pipe: nothing while it is full, as the reader may have no processor. */
function write(bytes: Uint8Array): number {
  try {
    return writeSync(1, bytes);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return 0;
    throw error;
  }
}

const inputs = deserialize(readFileSync(join(folder, 'inputs'))) as Tensors;
const started = nowMs();
const open = await (loaders[name] as Loader)();
const imported = nowMs();
const { run, close, about } = await open(join(folder, 'model.onnx'), inputs);
const opened = nowMs();
const outputs = await run();
const answered = nowMs();
const marks: FreshMarks = {
  importMs: imported - started,
  openMs: opened - imported,
  firstRunMs: answered - opened,
  firstPeakBytes: peakBytes(),
};
send({ kind: 'answered', marks, about, outputs });
for (let count = 0; count < Number(runs); count++) await run();
send({ kind: 'ended', peakBytes: peakBytes() });
await close?.();
process.exit();
