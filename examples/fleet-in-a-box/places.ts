/** Where the checkout and the demonstration's files lie, whether this code runs as it is or bundled into build/. */
import { findPackageJSON } from 'node:module';
import { dirname, join } from 'node:path';

export const projectFolder = dirname(findPackageJSON(import.meta.url) as string);
export const demonstration = join(projectFolder, 'examples/fleet-in-a-box');
