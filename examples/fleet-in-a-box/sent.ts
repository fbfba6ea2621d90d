/**
 * The note by which a feed tells the judge, and nobody else, which file it sends: on a topic that no trigger reads. Feeds shall start
 * quickly: what reads notes is in judge.ts, with the library that checks them.
 */
import type { DeviceKind } from './truth.ts';

export const SENT_FILTER = 'demo/+/sent';

export function sentTopic(device: string): string {
  return `demo/${device}/sent`;
}

export interface SentNote {
  readonly kind: DeviceKind;
  readonly file: string;
  /** When the picture was taken or the recording began, in milliseconds since the epoch. */
  readonly at: number;
}

export function encodeNote(note: SentNote): string {
  return JSON.stringify(note);
}
