/** What the launcher and the program that it starts tell each other: the first in the environment, the others over IPC. */
import * as z from 'zod';

const program = z.string().nullable().describe('by its SHA-256; null: the program that the machine came with');

export const fromLauncherSchema = z.object({
  program,
  isTrial: z.boolean(),
  good: program.describe('what comes back if this one fails'),
  rejected: z.object({ program, error: z.string() }).nullable(),
});

/** An earlier launcher, which no update replaces, knows no error. */
export const answerSchema = z.object({ type: z.literal('noted'), error: z.string().optional() });

export type FromLauncher = z.infer<typeof fromLauncherSchema>;

export type ToLauncher =
  /** Start this version next: answered once that is on the disk, or cannot be. */
  | { readonly type: 'try'; readonly program: string | null }
  | { readonly type: 'proved' }
  /** Why it has not proved itself so far. */
  | { readonly type: 'notYet'; readonly reason: string };
