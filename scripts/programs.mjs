// What people start from a clone, bundled: with some 500 files of TypeScript and of packages to load, a process takes two to three times
// as long to start. Plain JavaScript that runs on Node 20, as all that comes before the packaged Node.
import { existsSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
/** A folder for each state of the sources, named by the time of their last change. */
const bundles = join(root, 'build/programs');
/** Programs that run meanwhile load parts of their own making from it, so some earlier ones stay. */
const KEPT = 4;
const SOURCES = ['runtime', 'devices', 'fleet', 'examples', 'scripts', 'package.json', 'package-lock.json'];
const PROGRAMS = [
  'devices/gateway/main.ts',
  'examples/fleet-in-a-box/feeds/city-microphone.ts',
  'examples/fleet-in-a-box/feeds/factory-camera.ts',
  'examples/fleet-in-a-box/feeds/vehicle-camera.ts',
  'examples/fleet-in-a-box/main.ts',
  'fleet/cli/main.ts',
  'fleet/main.ts',
];
const WORKERS = [
  'runtime/engine/core-worker.ts',
  'runtime/offload/onnxruntime-worker.ts',
  'runtime/offload/probe-worker.ts',
];
const COMPILER = 'runtime/engine/compile-worker.ts';

/** The bundled program that a TypeScript file is, up to date; the file itself if it is none. */
export async function programOf(file) {
  return PROGRAMS.includes(file) ? join(await buildPrograms(), `${flatName(file)}.js`) : join(root, file);
}

/** Resolves with the folder of the bundles, which are made if the sources have changed. */
export async function buildPrograms() {
  const folder = join(bundles, String(Math.round(newestOf(SOURCES))));
  if (!existsSync(folder)) await make(folder);
  return folder;
}

/** As fleet/cli/program-file.ts expects it: what programs share, and what they start, lies beside them. */
const flatName = (file) => file.replaceAll('/', '-').replace(/\.ts$/, '');

/** Folders count too: a file that is gone changes only its folder. */
function newestOf(names) {
  const within = (name) =>
    statSync(join(root, name)).isDirectory() ? readdirSync(join(root, name), { recursive: true }) : [];
  const paths = names.flatMap((name) => [name, ...within(name).map((each) => join(name, each))]);
  return Math.max(...paths.map((path) => statSync(join(root, path)).mtimeMs));
}

async function make(folder) {
  const { bundle } = await import('./bundle.mjs');
  const part = `${folder}.${process.pid}.part`;
  await bundle(part, {
    entries: Object.fromEntries([...PROGRAMS.map((file) => [flatName(file), file]), ['compile-worker', COMPILER]]),
    workers: Object.fromEntries(WORKERS.map((file) => [basename(file, '.ts'), file])),
    isForReaders: true,
  });
  try {
    renameSync(part, folder);
  } catch (error) {
    // Another process was first.
    rmSync(part, { recursive: true });
    if (!existsSync(folder)) throw error;
  }
  const earlier = readdirSync(bundles)
    .filter((name) => /^\d+$/.test(name))
    .sort();
  for (const name of earlier.slice(0, -KEPT)) rmSync(join(bundles, name), { recursive: true, force: true });
}
