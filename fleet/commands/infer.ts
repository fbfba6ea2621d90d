import * as z from 'zod';
import { hashSchema, nameSchema } from '../../runtime/protocol/messages.ts';
import type { NodeView } from '../controller/service.ts';
import { defineCommand } from './command.ts';
import { inputFrom } from './files-io.ts';

const formats = ['image', 'audio', 'json', 'tensors'] as const;

const model = nameSchema.describe('model');
const node = nameSchema.optional().describe('node that runs it; any one that has the model ready when absent');
const timeoutMs = z.coerce
  .number()
  .int()
  .min(1)
  .max(600_000)
  .default(30_000)
  .describe('how long to wait for the answer');

export const infer = defineCommand({
  name: ['infer'],
  summary: 'Run a model once on a node: on a picture, a sound, numbers or tensors',
  arguments: z.strictObject({
    model,
    node,
    format: z.enum(formats),
    input: z.union([z.strictObject({ base64: z.base64() }), z.strictObject({ sha256: hashSchema })]),
    timeoutMs,
  }),
  positionals: ['model'],
  local: {
    arguments: z.strictObject({
      model,
      node,
      image: z.string().optional().describe('JPEG or PNG file'),
      audio: z.string().optional().describe('WAV file'),
      json: z.string().optional().describe('JSON file'),
      tensors: z.string().optional().describe('safetensors file'),
      timeoutMs,
      reproducible: z.boolean().optional().describe('the same bits on every machine; the model is a file here'),
      profile: z.boolean().optional().describe('say where the time goes; the model is a file here'),
      trace: z.string().optional().describe('file for a profile as a trace that Perfetto opens'),
    }),
    positionals: ['model'],
    async prepare(args, { controller }) {
      if (args.profile || args.trace !== undefined)
        throw new Error(
          `infer: a profile is made on this machine: expected an ONNX file, got the name "${args.model}"`,
        );
      if (args.reproducible)
        throw new Error(
          `infer: a node computes reproducibly when it was started so (node --reproducible): expected an ONNX file, got the name "${args.model}"`,
        );
      const given = formats.filter((format) => args[format] !== undefined);
      const format = given[0];
      if (!format || given.length > 1)
        throw new Error(`infer: expected one of --image, --audio, --json and --tensors, got ${given.length}`);
      const input = await inputFrom(args[format] as string, controller);
      return { model: args.model, node: args.node, format, input, timeoutMs: args.timeoutMs };
    },
  },
  permission: 'read',
  async run({ model, node, format, input, timeoutMs }, { controller }) {
    const chosen = node ?? chooseNode(model, await controller.nodes());
    return { node: chosen, model, result: await controller.infer(chosen, { model, format, input }, timeoutMs) };
  },
  render: ({ node, model, result }, style) =>
    `${style.dim(`${model} on ${node}:`)}\n${typeof result === 'string' ? result : JSON.stringify(result, null, 2)}`,
});

function chooseNode(model: string, nodes: readonly NodeView[]): string {
  const ready = nodes.find(
    ({ online, reported }) => online && reported?.models.some(({ name, state }) => name === model && state === 'ready'),
  );
  if (!ready) throw new Error(`no node that is online has model "${model}" ready; "llmasos nodes" shows what each has`);
  return ready.name;
}
