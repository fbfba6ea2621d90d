/** onnxruntime as a contender: its WebAssembly build, or its native one for Node. Both offer the same functions. */
import { readFileSync } from 'node:fs';
import type * as Onnxruntime from 'onnxruntime-web';
import { requirePeer } from '../peers.ts';
import type { Engine, Tensors } from './contender.ts';

export async function onnxruntimeWeb(): Promise<Engine> {
  const ort = await import('onnxruntime-web');
  // Threads inside the library need a page's fetch; there is none in Node.
  ort.env.wasm.numThreads = 1;
  ort.env.logLevel = 'error';
  // Arrays that it is given for results it leaves as they are, and gives new ones.
  return engineOf(ort, { executionProviders: ['wasm'] }, { writesIntoGiven: false });
}

export async function onnxruntimeNode(): Promise<Engine> {
  const options = { executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1 };
  return engineOf(requirePeer('onnxruntime-node') as typeof Onnxruntime, options, { writesIntoGiven: true });
}

function engineOf(
  ort: typeof Onnxruntime,
  options: Onnxruntime.InferenceSession.SessionOptions,
  { writesIntoGiven }: { readonly writesIntoGiven: boolean },
): Engine {
  return {
    about: ort.env.versions.common ?? '',
    async open({ model, inputs }) {
      const bytes = typeof model === 'string' ? new Uint8Array(readFileSync(model)) : model;
      const session = await ort.InferenceSession.create(bytes, {
        ...options,
        graphOptimizationLevel: 'all',
        logSeverityLevel: 3,
      });
      const feeds = Object.fromEntries(
        Object.entries(inputs).map(([name, { type, data, dims }]) => [
          name,
          new ort.Tensor(type as 'float32', data as Float32Array, dims),
        ]),
      );
      const fetches: Record<string, Onnxruntime.Tensor> = {};
      if (writesIntoGiven)
        for (const [name, { type, data, dims }] of Object.entries(await session.run(feeds)))
          fetches[name] = new ort.Tensor(type as 'float32', (data as Float32Array).slice(), dims);
      return {
        async run() {
          const started = performance.now();
          const results = await (writesIntoGiven ? session.run(feeds, fetches) : session.run(feeds));
          const ms = performance.now() - started;
          const outputs = Object.entries(results).map(([name, { type, dims, data }]) => [name, { type, dims, data }]);
          return { ms, outputs: Object.fromEntries(outputs) as Tensors };
        },
        close: () => session.release(),
      };
    },
  };
}
