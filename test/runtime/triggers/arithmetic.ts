/** Pipelines whose model is arithmetic, so that every expected number is plain. */
import * as assert from 'uvu/assert';
import type { Model, RunOptions } from '../../../runtime/engine/model.ts';
import type { Tensor, ValueDescription } from '../../../runtime/engine/tensor.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { createPipeline, type Outcome, type Pipeline } from '../../../runtime/triggers/pipeline.ts';
import { triggerSchema } from '../../../runtime/triggers/schema.ts';

export interface Behaviour {
  readonly inputs?: readonly ValueDescription[];
  readonly outputs?: readonly ValueDescription[];
  readonly run?: (
    inputs: Readonly<Record<string, Tensor>>,
    options?: RunOptions,
  ) => Record<string, Tensor> | Promise<Record<string, Tensor>>;
}

/** By default it adds up its input. */
export function modelOf(behaviour: Behaviour = {}): Model {
  return {
    name: 'm',
    engine: 'llmasos',
    inputs: behaviour.inputs ?? [{ name: 'x', type: 'float32', dims: [1, null] }],
    outputs: behaviour.outputs ?? [{ name: 'y', type: 'float32', dims: [1, 1] }],
    async run(inputs, options) {
      const outputs = behaviour.run
        ? await behaviour.run(tensorsOf(inputs), options)
        : { y: scalar(sumOf(inputs.x as Tensor)) };
      return { outputs, queueMs: 0.25, runMs: 1.5 };
    },
    async close() {},
  };
}

export function scalar(value: number): Tensor {
  return { type: 'float32', dims: [1, 1], data: Float32Array.of(value) };
}

export function sumOf({ data }: Tensor): number {
  return Array.from(data as Float32Array).reduce((sum, value) => sum + value, 0);
}

export const stage = { name: 'sum', model: 'm', post: { step: 'raw' } };
export const base = {
  name: 't',
  topic: 'plant/{line}/{sensor}',
  decode: { format: 'json', values: '$.v', id: '$.id' },
  stages: [stage],
  output: {
    topic: 'out/{sensor}/{line}',
    fields: { sum: 'sum.y.data[0]', line: 'topic.line', id: 'message.id', twice: 'sum.y.data[0] * 2' },
  },
};

export function pipelineOf(changes: object = {}, model: Model = modelOf(), labels?: string[]): Pipeline {
  const trigger = triggerSchema.parse({ ...base, ...changes });
  return createPipeline(trigger, {
    node: 'node-1',
    models: (name) => {
      if (name !== 'm') throw new Error('not on this node');
      return { model, version: 3, labels };
    },
  });
}

export function send(pipeline: Pipeline, body: unknown, receivedAt = 1000, topic = 'plant/7/heat'): Promise<Outcome> {
  const payload = body instanceof Uint8Array ? body : new TextEncoder().encode(JSON.stringify(body));
  return pipeline.handle({ topic, payload, receivedAt });
}

export function bodies({ results }: Outcome): Record<string, unknown>[] {
  return results.map(({ payload }) => JSON.parse(new TextDecoder().decode(payload)));
}

export async function refusal(work: () => unknown): Promise<string> {
  try {
    await work();
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
}

/** Counts what it has seen: `n` comes back with the next window. */
export const counter: Behaviour = {
  inputs: [
    { name: 'x', type: 'float32', dims: ['batch', 'samples'] },
    { name: 'state', type: 'float32', dims: [1, 'n'] },
    { name: 'rate', type: 'int64', dims: [] },
  ],
  outputs: [
    { name: 'y', type: 'float32', dims: [1, 1] },
    { name: 'next', type: 'float32', dims: [1, 'n'] },
  ],
  run: ({ x, state, rate }) => {
    const sum = sumOf(x as Tensor);
    if (sum < 0) throw new Error('negative sound');
    assert.equal(rate?.data, BigInt64Array.of(8000n));
    return { y: scalar(sum), next: scalar(((state as Tensor).data[0] as number) + 1) };
  },
};
