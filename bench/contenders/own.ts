/** Our engine as a contender. */
import { readFileSync } from 'node:fs';
import v8 from 'node:v8';
import { createEngine } from '../../runtime/engine/engine.ts';
import type { KernelBuild } from '../../runtime/engine/kernels.ts';
import type { Engine } from './contender.ts';

/** Without `build`, as the product starts: the engine chooses. With it, 128 bits wide, as where V8 cannot fuse pairs. */
export async function ownEngine(build?: Exclude<KernelBuild, 'revectorized'>): Promise<Engine> {
  const engine = await createEngine({ build });
  // Kernels are compiled at their first call, which is still to come.
  if (build) v8.setFlagsFromString('--no-experimental-wasm-revectorize');
  return {
    about: [engine.info.build, ...engine.info.notes].join('; '),
    async open({ name, model: file, inputs }) {
      const bytes = typeof file === 'string' ? new Uint8Array(readFileSync(file)) : file;
      const model = await engine.load(bytes, { name });
      return {
        async run() {
          const started = performance.now();
          const { outputs, runMs } = await model.run(inputs);
          return { ms: performance.now() - started, insideMs: runMs, outputs };
        },
        close: () => model.close(),
      };
    },
  };
}
