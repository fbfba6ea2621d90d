/** What is really in each recording and picture: materials/truth.json, written by recipe/make.ts together with them. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { demonstration } from './places.ts';

/** Seconds from the start of the recording. */
export interface Interval {
  readonly startS: number;
  readonly endS: number;
}

/** By file name. */
export interface Truth {
  readonly 'city-microphone': Record<string, { readonly seconds: number; readonly speech: readonly Interval[] }>;
  /** The printed lines, exactly, from the top of the label to its bottom. */
  readonly 'factory-camera': Record<string, { readonly texts: readonly string[] }>;
  /** `null`: no speed limit is to be seen. */
  readonly 'vehicle-camera': Record<string, { readonly limitKmh: number | null }>;
}

export type DeviceKind = keyof Truth;

export const materialsFolder = join(demonstration, 'materials');

export function readTruth(): Truth {
  return JSON.parse(readFileSync(join(materialsFolder, 'truth.json'), 'utf8'));
}
