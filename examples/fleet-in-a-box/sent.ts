/** The note by which a feed tells the judge, and nobody else, which file it sends: on a topic that no trigger reads. */
import { z } from 'zod';

export const SENT_FILTER = 'demo/+/sent';

export function sentTopic(device: string): string {
  return `demo/${device}/sent`;
}

const noteSchema = z.object({
  kind: z.enum(['city-microphone', 'factory-camera', 'vehicle-camera']),
  file: z.string(),
  /** When the picture was taken or the recording began, in milliseconds since the epoch. */
  at: z.number(),
});

export type SentNote = z.infer<typeof noteSchema>;

export function encodeNote(note: SentNote): string {
  return JSON.stringify(note);
}

/** Gives undefined for a payload that is no note. */
export function decodeNote(payload: Uint8Array): SentNote | undefined {
  try {
    return noteSchema.parse(JSON.parse(new TextDecoder().decode(payload)));
  } catch {
    return undefined;
  }
}
