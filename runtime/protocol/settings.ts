/** What of a node can be set from afar: one row a setting. A node checks each by itself, so that one it cannot take stops no other. */
import * as z from 'zod';
import { NAME_PATTERN } from './topics.ts';

export const logLevels = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;

const name = z.string().regex(NAME_PATTERN, 'letters, digits, _ and - only, 1 to 64 of them');

const tenantSchema = z.strictObject({
  name,
  weight: z.number().gt(0).max(1_000_000).describe('share of the cores while several tenants wait in a class'),
  runsMax: z.int().min(1).max(4_096).default(4_096).describe('runs of each class that it may have unfinished'),
});

export const settingsSchema = z.strictObject({
  logLevel: z.enum(logLevels).optional(),
  metricsIntervalMs: z
    .int()
    .min(500)
    .max(3_600_000)
    .optional()
    .describe('between two messages of counters, while they change'),
  memoryBudgetMb: z
    .number()
    .gt(3)
    .max(4_294)
    .optional()
    .describe('memory that all models may take together; those unused for longest make room'),
  pinned: z.array(name).max(1_000).optional().describe('models that stay in memory'),
  tenants: z
    .array(tenantSchema)
    .max(1_000)
    .refine((all) => new Set(all.map((one) => one.name)).size === all.length, 'expected every tenant once')
    .optional()
    .describe('whose runs are told apart'),
});

export type Settings = z.output<typeof settingsSchema>;
export type SettingName = keyof Settings;
export const settingNames = Object.keys(settingsSchema.shape) as SettingName[];

/** As a desired state carries them: a newer controller may name some that this version does not know. */
export const desiredSettingsSchema = z.record(z.string().min(1).max(64), z.unknown());

export const reportedSettingSchema = z.object({
  name: z.string().max(64),
  /**
   * `applied`: in force. `waiting`: from the node's next start. `overridden`: its own command line says otherwise, and wins. `failed`: the
   * value is none, and the one before stays in force. `unknown`: the node is older than the setting.
   */
  state: z.enum(['applied', 'waiting', 'overridden', 'failed', 'unknown']),
  /** What is in force; absent where that is what the node does by itself. */
  value: z.unknown().optional(),
  error: z.string().optional(),
});

export type ReportedSetting = z.infer<typeof reportedSettingSchema>;
