/** Versions of the node's own program: which one a node should run, of which files it is made, and how far the node is with it. */
import * as z from 'zod';

const hash = z.string().regex(/^[0-9a-f]{64}$/, 'a SHA-256 in 64 hexadecimal digits');
export const softwareVersionSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$/, 'letters, digits and . _ + - only, 1 to 64 of them');
/** Below the program's own folder, wherever that is: no step up, nothing hidden. */
const path = z
  .string()
  .max(200)
  .regex(/^[A-Za-z0-9_@][\w.@-]*(\/[A-Za-z0-9_@][\w.@-]*)*$/, 'a relative path such as kernels/a.wasm');

export const SOFTWARE_BYTES_MAX = 2 ** 30;

export const softwareFileSchema = z.object({
  path,
  sha256: hash,
  bytes: z.int().nonnegative(),
  chunks: hash.optional().describe('of the list of its chunks; absent where it is one chunk'),
});

/** The content of the blob that a version is named by. A file that the version before has too is not fetched again. */
export const softwareManifestSchema = z
  .object({
    version: softwareVersionSchema,
    node: z
      .string()
      .regex(/^\d+\.\d+\.\d+$/, 'a version of Node.js such as 24.0.0')
      .describe('the oldest Node.js it runs on'),
    main: path.describe('what the launcher starts'),
    files: z.array(softwareFileSchema).min(1).max(10_000),
  })
  .refine(({ main, files }) => files.some((file) => file.path === main), 'expected the main file among the files')
  .refine(({ files }) => new Set(files.map((file) => file.path)).size === files.length, 'expected every file once')
  .refine(
    ({ files }) => files.reduce((sum, { bytes }) => sum + bytes, 0) <= SOFTWARE_BYTES_MAX,
    `expected at most ${SOFTWARE_BYTES_MAX} bytes in all`,
  );

export const MANIFEST_BYTES_MAX = 4 * 2 ** 20;

/** In a desired state. Without `sha256`: the program that the machine came with. */
export const softwareSchema = z.object({
  version: softwareVersionSchema,
  sha256: hash.optional().describe('of its list of files'),
  bytes: z.int().positive().max(MANIFEST_BYTES_MAX).optional().describe('of that list'),
});

export const reportedSoftwareSchema = z.object({
  version: z.string().max(64).describe('that runs'),
  sha256: hash.optional().describe('absent: it came with the machine'),
  /** It has yet to prove itself; else the one before comes back. */
  provisional: z.literal(true).optional(),
  /** What the desired state asks for, while that is not what runs, or was tried and failed. */
  update: z
    .object({
      version: z.string().max(64),
      sha256: hash.optional(),
      /** `downloaded`: it waits until the node may be changed. `switching`: the node ends and comes back as it. */
      state: z.enum(['downloading', 'downloaded', 'switching', 'failed']),
      error: z.string().optional(),
    })
    .optional(),
});

/** What the desired state says where no version was given, once there are any. */
export const BUILT_IN: Software = { version: 'built-in' };

export type Software = z.infer<typeof softwareSchema>;
export type SoftwareManifest = z.infer<typeof softwareManifestSchema>;
export type SoftwareFile = z.infer<typeof softwareFileSchema>;
export type ReportedSoftware = z.infer<typeof reportedSoftwareSchema>;
