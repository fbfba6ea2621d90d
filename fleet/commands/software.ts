import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import * as z from 'zod';
import { SOFTWARE_BYTES_MAX, softwareManifestSchema, softwareVersionSchema } from '../../runtime/protocol/software.ts';
import { type CommandContext, defineCommand } from './command.ts';
import { readLocalText, uploadFile } from './files-io.ts';
import { bytesText, timeText } from './text.ts';

const NOTE_BYTES_MAX = 10_000;
const FILES_MAX = 10_000;
/** What the build leaves beside the files: the rest of the list. */
const noteSchema = z.object(softwareManifestSchema.shape).pick({ version: true, node: true, main: true });

export const softwareAdd = defineCommand({
  name: ['software', 'add'],
  summary: "Register a version of the node's program from the folder that its build made; no node gets it by that",
  arguments: z.strictObject(softwareManifestSchema.shape),
  local: {
    arguments: z.strictObject({
      folder: z.string().describe('folder with software.json, such as build/gateway'),
      version: softwareVersionSchema.optional().describe("name of the version; the build's own when absent"),
    }),
    positionals: ['folder'],
    async prepare({ folder, version }, { controller }) {
      const file = join(folder, 'software.json');
      const note = noteSchema.safeParse(parse(await readLocalText(file, NOTE_BYTES_MAX), file));
      if (!note.success) {
        const [issue] = note.error.issues;
        throw new Error(`${file}: ${issue?.path.join('.') || 'content'}: ${issue?.message}`);
      }
      const files = await uploadAll(folder, controller);
      return { ...note.data, version: version ?? note.data.version, files };
    },
  },
  permission: 'write',
  run: async (manifest, { controller }) => controller.software.add(manifest),
  render: ({ version, files, bytes }, style) =>
    `${style.good('added')} software ${style.bold(version)}: ${files} files, ${bytesText(bytes)}; "llmasos rollouts start --software ${version}" brings it to nodes`,
});

function parse(text: string, file: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new Error(`${file}: expected JSON, got something else`, { cause });
  }
}

async function uploadAll(folder: string, controller: CommandContext['controller']) {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name).slice(join(folder, '/').length).replaceAll('\\', '/'))
    .filter((path) => path !== 'software.json')
    .sort();
  if (paths.length > FILES_MAX) throw new Error(`${folder}: expected at most ${FILES_MAX} files, got ${paths.length}`);
  const files = [];
  for (const path of paths)
    files.push({ path, ...(await uploadFile(join(folder, path), SOFTWARE_BYTES_MAX, controller)) });
  return files;
}

export const softwareList = defineCommand({
  name: ['software', 'list'],
  summary: "List the versions of the node's program, and which nodes run them",
  arguments: z.strictObject({}),
  permission: 'read',
  run: async (_, { controller }) => controller.software.list(),
  render(all, style) {
    if (all.length === 0)
      return 'There are no versions yet: nodes run what they came with; "llmasos software add FOLDER" adds one.';
    const rows = all.map(({ version, released, bytes, node, addedAt, nodes }) => [
      style.bold(version),
      released ? style.good('nodes get it') : '',
      bytesText(bytes),
      node,
      timeText(addedAt),
      nodes.length > 5 ? `${nodes.length} nodes` : nodes.join(', '),
    ]);
    return style.table(['version', '', 'size', 'Node.js', 'added', 'runs on'], rows);
  },
});

export const softwareRemove = defineCommand({
  name: ['software', 'remove'],
  summary: 'Remove a version; refused while a node is to have it',
  arguments: z.strictObject({ version: softwareVersionSchema }),
  positionals: ['version'],
  permission: 'write',
  async run({ version }, { controller }) {
    await controller.software.remove(version);
    return { version };
  },
  render: ({ version }, style) => `${style.good('removed')} software ${style.bold(version)}`,
});
