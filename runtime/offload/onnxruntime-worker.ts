/** The process behind `loadOnnxruntime`: holds onnxruntime-web, or onnxruntime-node where the provider is WebGPU, and its sessions. */
import type * as Ort from 'onnxruntime-web';
import { arrayOf, type DataType, type Tensor, type TypedArray } from '../engine/tensor.ts';
import { renouncePreference } from '../engine/thread-priority-io.ts';
import type { Reply, Request } from './onnxruntime-messages.ts';

renouncePreference();
let loaded: Promise<typeof Ort> | undefined;
const sessions = new Map<number, Ort.InferenceSession>();

const isGpu = process.argv[2] === 'webgpu';

async function loadLibrary(): Promise<typeof Ort> {
  if (isGpu) {
    // Not a dependency of ours: see probe-worker.ts.
    const name = 'onnxruntime-node';
    return import(name);
  }
  let ort: typeof Ort;
  try {
    ort = await import('onnxruntime-web');
  } catch (cause) {
    throw new Error('the package onnxruntime-web is missing: install it with npm install onnxruntime-web', { cause });
  }
  // Threads inside the library need a page's fetch; there is none in Node.
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  return ort;
}

async function answer(request: Request): Promise<Reply> {
  loaded ??= loadLibrary();
  const ort = await loaded;
  switch (request.kind) {
    case 'load':
      sessions.set(request.session, await createSession(ort, request));
      return { kind: 'done', id: request.id, outputs: {}, runMs: 0 };
    case 'run':
      return run(ort, request);
    case 'release':
      await sessions.get(request.session)?.release();
      sessions.delete(request.session);
      return { kind: 'done', id: request.id, outputs: {}, runMs: 0 };
  }
}

function createSession(ort: typeof Ort, request: Request & { kind: 'load' }): Promise<Ort.InferenceSession> {
  // One provider only: with a list, the library may silently use another than the one that is reported.
  return ort.InferenceSession.create(request.bytes, {
    // NCHW: see probe-worker.ts.
    executionProviders: [isGpu ? { name: 'webgpu', preferredLayout: 'NCHW' } : 'wasm'],
    externalData: request.externalData.map(({ path, data }) => ({ path, data })),
    logSeverityLevel: 3,
  });
}

async function run(ort: typeof Ort, request: Request & { kind: 'run' }): Promise<Reply> {
  const session = sessions.get(request.session);
  if (!session) throw new Error('the model is not loaded');
  const feeds = Object.entries(request.inputs).map(([name, tensor]) => [
    name,
    new ort.Tensor(tensor.type as 'float32', tensor.data as Float32Array, tensor.dims),
  ]);
  const start = performance.now();
  const results = await session.run(Object.fromEntries(feeds));
  const runMs = performance.now() - start;
  const outputs = Object.entries(results).map(([name, value]) => [name, tensorOf(name, value)]);
  return { kind: 'done', id: request.id, outputs: Object.fromEntries(outputs), runMs };
}

function tensorOf(name: string, value: Ort.Tensor): Tensor {
  const type = value.type as DataType;
  if (!(value instanceof Object && 'data' in value) || !ArrayBuffer.isView(value.data)) {
    throw new Error(`output "${name}" is of type ${value.type}, which has no numeric form here`);
  }
  const { buffer, byteOffset, byteLength } = value.data;
  // A copy of its own: the library's may be a view of its memory. It also makes float16 the raw words that we keep.
  const bytes = new Uint8Array(buffer, byteOffset, byteLength).slice();
  return { type, dims: [...value.dims], data: new (arrayOf(type))(bytes.buffer) as TypedArray };
}

function reply(message: Reply): void {
  process.send?.(message);
}

let last: Promise<void> = Promise.resolve();
process.on('message', (request: Request) => {
  // The library allows one call at a time.
  last = last.then(async () => {
    try {
      reply(await answer(request));
    } catch (error) {
      reply({ kind: 'failed', id: request.id, message: error instanceof Error ? error.message : String(error) });
    }
  });
});
// It ends with its parent, and not before: Ctrl-C reaches both, and the parent may still want an answer.
process.on('disconnect', () => process.exit());
process.on('SIGINT', () => undefined);
