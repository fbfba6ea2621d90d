// Builds everything that is out of date: the kernels (WebAssembly), the bundle that a gateway runs, and what is started from a clone.
//   node scripts/build.mjs [FOLDER]     FOLDER is for the bundle: build/gateway when absent
import { copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildKernels } from './build-kernels.mjs';
import { bundle } from './bundle.mjs';
import { buildPrograms } from './programs.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

await buildKernels();
await buildGateway(resolve(process.argv[2] ?? `${root}build/gateway`));
await buildPrograms();

/** A node in one folder: main.js, its workers beside it, and the WebAssembly they load. No node_modules needed. */
async function buildGateway(folder) {
  mkdirSync(folder, { recursive: true });
  // Chunks are named after their content: those of an earlier build would stay beside the new ones.
  for (const name of readdirSync(folder)) if (name.endsWith('.js')) rmSync(join(folder, name));
  await bundle(folder, {
    entries: {
      main: 'devices/gateway/main.ts',
      launcher: 'devices/gateway/launcher.ts',
      'compile-worker': 'runtime/engine/compile-worker.ts',
    },
    workers: {
      'core-worker': 'runtime/engine/core-worker.ts',
      'onnxruntime-worker': 'runtime/offload/onnxruntime-worker.ts',
      'probe-worker': 'runtime/offload/probe-worker.ts',
    },
  });
  // Where runtime/media/codec-io.ts looks for them.
  for (const name of ['@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm', '@jsquash/webp/codec/dec/webp_dec.wasm'])
    copyFileSync(require.resolve(name), join(folder, basename(name)));
  // What `llmasos software add` reads: the rest of the list of files is their content.
  const { version } = JSON.parse(readFileSync(`${root}package.json`, 'utf8'));
  writeFileSync(join(folder, 'software.json'), `${JSON.stringify({ version, node: '24.0.0', main: 'main.js' })}\n`);
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
  console.error(`${folder}: ${(bytes / 1e6).toFixed(2)} MB`);
}
