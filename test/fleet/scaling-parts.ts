/** A model whose answers anybody can reckon, a trigger for it, and nodes as processes that run it. */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { floats, writeModel } from '../../bench/write-model.ts';
import { triggerSchema } from '../../runtime/triggers/schema.ts';
import { endLater } from './fleet-parts.ts';

const main = fileURLToPath(new URL('../../devices/gateway/main.ts', import.meta.url));

/** y = factor · x for three floats. */
export function scaling(factor: number): Uint8Array {
  return writeModel({
    graph: {
      inputs: [{ name: 'x', type: 1, dims: [1, 3] }],
      outputs: [{ name: 'y', type: 1, dims: [1, 3] }],
      initializers: [floats('f', [1], Float32Array.of(factor))],
      nodes: [{ operator: 'Mul', inputs: ['x', 'f'], outputs: ['y'] }],
    },
  });
}

export const largest = triggerSchema.parse({
  name: 'largest',
  topic: 'sensors/{device}/values',
  qos: 1,
  decode: { format: 'json', values: '$.v', id: '$.id' },
  stages: [{ name: 'answer', model: 'scale', post: { step: 'top-k', k: 1 } }],
  output: { topic: 'answers/{device}', qos: 1, fields: { score: 'answer[0].score' } },
});

export interface NodeProcess {
  readonly child: ChildProcess;
  /** Everything it wrote so far. */
  output(): string;
}

/** `devices/gateway/main.ts` in a process of its own. */
export function startNodeProcess(
  broker: string,
  name: string,
  data: string,
  flags: readonly string[] = [],
): NodeProcess {
  const child = spawn(process.execPath, [main, '--name', name, '--broker', broker, '--data', data, ...flags]);
  endLater(child);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding('utf8').on('data', (text) => (output += text));
  return { child, output: () => output };
}
