import * as z from 'zod';
import { hashSchema, nameSchema } from '../../runtime/protocol/messages.ts';
import { MODEL_BYTES_MAX } from '../controller/model-file.ts';
import type { ModelView } from '../controller/service.ts';
import { defineCommand, type Style } from './command.ts';
import { nameFromFile, readLocalText, uploadFile } from './files-io.ts';
import { bytesText, dimsText, timeText } from './text.ts';

const LABELS_BYTES_MAX = 2 ** 22;
const labels = z
  .array(z.string())
  .optional()
  .describe('class names or characters that belong to the model, one an index');

export const modelsList = defineCommand({
  name: ['models', 'list'],
  summary: 'List the models, each with its newest version',
  arguments: z.strictObject({}),
  permission: 'read',
  run: async (_, { controller }) => controller.models(),
  render(all, style) {
    if (all.length === 0) return 'There are no models yet; add one with "llmasos models add FILE".';
    const rows = all.map((model) => [
      style.bold(model.name),
      model.released === model.version ? `v${model.version}` : `v${model.version}, nodes have v${model.released}`,
      bytesText(model.bytes),
      `opset ${model.opset}`,
      model.labelCount === 0 ? '' : String(model.labelCount),
      model.usedBy.join(', '),
    ]);
    return style.table(['model', 'version', 'size', 'operators', 'labels', 'used by'], rows);
  },
});

export const modelsShow = defineCommand({
  name: ['models', 'show'],
  summary: 'Show what a model takes and gives, and all its versions',
  arguments: z.strictObject({ name: nameSchema.describe('model') }),
  positionals: ['name'],
  permission: 'read',
  run: async ({ name }, { controller }) => controller.modelVersions(name),
  render(versions, style) {
    const newest = versions[0] as ModelView;
    const operators = Object.entries(newest.operators).map(([name, count]) => `${name} ${count}`);
    return [
      `${style.bold(newest.name)}, made by ${newest.producer || 'an unnamed program'}, opset ${newest.opset}`,
      style.table(
        ['', 'name', 'type', 'shape'],
        [
          ...newest.inputs.map(({ name, type, dims }) => ['takes', name, type, dimsText(dims)]),
          ...newest.outputs.map(({ name, type, dims }) => ['gives', name, type, dimsText(dims)]),
        ],
      ),
      `operators: ${operators.join(', ')}`,
      `used by: ${newest.usedBy.join(', ') || 'no trigger'}`,
      versionTable(versions, style),
    ].join('\n\n');
  },
});

function versionTable(versions: readonly ModelView[], style: Style): string {
  const rows = versions.map(({ version, released, addedAt, bytes, labelCount, sha256 }) => [
    version === released ? style.good(`v${version}`) : `v${version}`,
    timeText(addedAt),
    bytesText(bytes),
    String(labelCount),
    style.dim(sha256),
  ]);
  return style.table(['version', 'added', 'size', 'labels', 'SHA-256'], rows);
}

export const modelsAdd = defineCommand({
  name: ['models', 'add'],
  summary: 'Add an ONNX file as a model, or as the next version of one',
  arguments: z.strictObject({
    name: nameSchema,
    sha256: hashSchema.describe('blob that was uploaded before'),
    labels,
    registerOnly: z.boolean().default(false),
  }),
  local: {
    arguments: z.strictObject({
      file: z.string().describe('ONNX file'),
      name: nameSchema.optional().describe("name of the model; the file's own when absent"),
      labels: z.string().optional().describe('text file with one class name or character a line'),
      registerOnly: z
        .boolean()
        .default(false)
        .describe('nodes keep the version that they have; "llmasos rollouts start" brings them this one'),
    }),
    positionals: ['file'],
    async prepare(args, { controller }) {
      // The small file first: a mistake there should not cost the upload of the large one.
      const list = args.labels === undefined ? undefined : linesOf(await readLocalText(args.labels, LABELS_BYTES_MAX));
      const { sha256 } = await uploadFile(args.file, MODEL_BYTES_MAX, controller);
      return { name: args.name ?? nameFromFile(args.file), sha256, labels: list, registerOnly: args.registerOnly };
    },
  },
  permission: 'write',
  run: async (args, { controller }) => controller.addModel(args.name, args.sha256, args.labels, args.registerOnly),
  render: (model, style) =>
    `${style.good('added')} ${style.bold(model.name)} version ${model.version}, ${bytesText(model.bytes)}${
      model.released === model.version ? '' : `; nodes keep version ${model.released}`
    }`,
});

/** A line may be a single space (it is a character in OCR tables), so only line ends are taken away. */
function linesOf(text: string): string[] {
  return text.replace(/\r?\n$/, '').split(/\r?\n/);
}

export const modelsRemove = defineCommand({
  name: ['models', 'remove'],
  summary: 'Remove a model with all its versions; refused while a trigger uses it',
  arguments: z.strictObject({ name: nameSchema.describe('model') }),
  positionals: ['name'],
  permission: 'write',
  async run({ name }, { controller }) {
    await controller.removeModel(name);
    return { name };
  },
  render: ({ name }, style) => `${style.good('removed')} ${style.bold(name)}`,
});
