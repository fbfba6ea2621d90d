/** Tests that need something a machine may lack: they run where it is, and print one line that says what is missing where it is not. */
import { existsSync } from 'node:fs';
import { delimiter } from 'node:path';
import { fileURLToPath } from 'node:url';

type Register = (title: string, body: () => void | Promise<void>) => void;

/** The folder of shared models and data beside the checkout; not part of the repository. */
export const sharedData = fileURLToPath(new URL('../../shared/data/', import.meta.url));

/** Path of a program on this machine, or undefined. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/bin'];
  return folders.map((folder) => `${folder}/${name}`).find((path) => existsSync(path));
}

/** `test` when the requirement is met; otherwise a stand-in that prints `skipped: title (needs …)`, which test/run.ts counts. */
export function testWhere(test: Register, met: unknown, needs: string): Register {
  if (met) return test;
  return (title) => console.log(`skipped: ${title} (needs ${needs})`);
}

export const needsSharedData = { met: existsSync(sharedData), needs: 'the folder shared/data beside the checkout' };
