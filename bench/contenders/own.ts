/** Our engine as a contender. */
import { readFileSync } from 'node:fs';
import { createEngine } from '../../runtime/engine/engine.ts';
import type { GivenOutputs } from '../../runtime/engine/given-outputs.ts';
import type { KernelBuild } from '../../runtime/engine/kernels.ts';
import type { Model } from '../../runtime/engine/model.ts';
import type { Tensor } from '../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../runtime/engine/value.ts';
import { compareAnswers } from './answers.ts';
import { toChannelsLast } from './channels.ts';
import type { Engine, Tensors } from './contender.ts';

/** Two orders of the same sums. */
const RELATIVE_MAX = 1e-4;

/** To be given for the outputs of such runs: new memory may cost more than the computation. */
export async function arraysFor(model: Model, inputs: Tensors): Promise<GivenOutputs> {
  const { outputs } = await model.run(inputs);
  return Object.fromEntries(Object.entries(tensorsOf(outputs)).map(([name, { data }]) => [name, data.slice()]));
}

/** Without `build`, as the product starts: the engine chooses. With it, 128 bits wide, as where V8 cannot fuse pairs. */
export async function ownEngine(build?: Exclude<KernelBuild, 'revectorized'>): Promise<Engine> {
  // One core: so do the others.
  const engine = await createEngine({ build, cores: 1 });
  return {
    about: [engine.info.build, ...engine.info.notes].join('; '),
    async open({ name, model: file, inputs, channelsLast }) {
      const bytes = typeof file === 'string' ? new Uint8Array(readFileSync(file)) : file;
      const model = await engine.load(bytes, { name });
      const turned = channelsLast && (await engine.load(channelsLast.model, { name }));
      if (turned) {
        const [answer] = Object.values(tensorsOf((await model.run(inputs)).outputs)) as [Tensor];
        const { outputs } = await turned.run(channelsLast.inputs);
        const { error } = compareAnswers(tensorsOf(outputs), { y: toChannelsLast(answer) });
        if (error > RELATIVE_MAX) throw new Error(`with the channels last, its answer differs by ${error}`);
      }
      const into = await arraysFor(model, inputs);
      const turnedInto = turned && (await arraysFor(turned, channelsLast.inputs));
      return {
        async run() {
          const started = performance.now();
          const { outputs: values, runMs } = await model.run(inputs, { outputs: into });
          const ms = performance.now() - started;
          const outputs = tensorsOf(values);
          if (!turned) return { ms, insideMs: runMs, outputs };
          return { ms, insideMs: (await turned.run(channelsLast.inputs, { outputs: turnedInto })).runMs, outputs };
        },
        async close() {
          await turned?.close();
          await model.close();
        },
      };
    },
  };
}
