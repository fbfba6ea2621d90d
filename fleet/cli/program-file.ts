import { fileURLToPath } from 'node:url';

/**
 * Where a program of the project lies, named by its TypeScript file from the root: that file, or what scripts/programs.mjs has made of it
 * when this code is bundled too.
 */
export function programFile(path: string): string {
  const { url } = import.meta;
  const place = url.endsWith('.ts') ? `../../${path}` : `./${path.replaceAll('/', '-').replace(/\.ts$/, '.js')}`;
  return fileURLToPath(new URL(place, url));
}
