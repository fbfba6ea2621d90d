// Builds everything that is out of date: the kernels (WebAssembly) and the bundle that a gateway runs.
//   node scripts/build.mjs [FOLDER]     FOLDER is for the bundle: build/gateway when absent
import { copyFileSync, mkdirSync, readdirSync, rmSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildKernels } from './build-kernels.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

await buildKernels();
await buildGateway(resolve(process.argv[2] ?? `${root}build/gateway`));

/** A node in one folder: main.js, its workers beside it, and the WebAssembly they load. No node_modules needed. */
async function buildGateway(folder) {
  mkdirSync(`${folder}/kernels`, { recursive: true });
  // Chunks are named after their content: those of an earlier build would stay beside the new ones.
  for (const name of readdirSync(folder)) if (name.endsWith('.js')) rmSync(join(folder, name));
  const options = {
    absWorkingDir: root,
    outdir: folder,
    bundle: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    // ES modules where a package has both: what nobody uses can be left out of them.
    mainFields: ['module', 'main'],
    // Optional and large: a gateway that needs the fallback installs it beside the bundle.
    external: ['onnxruntime-web', 'onnxruntime-node'],
    // CommonJS packages inside the bundle ask for Node's own modules by require(). The long name cannot meet one that
    // the minifier makes up: it does not know of the banner.
    banner: {
      js: "import { createRequire as createBundleRequire } from 'node:module'; const require = createBundleRequire(import.meta.url);",
    },
    logLevel: 'warning',
  };
  // Files that others import get a hash of their contents in their names: runtime/engine/engine.ts tells builds apart by it.
  await build({ ...options, entryPoints: { main: 'devices/gateway/main.ts' }, splitting: true });
  // Whole, each: what they shared with the others would be files of its own, and each file costs every start a millisecond.
  await build({
    ...options,
    entryPoints: {
      'core-worker': 'runtime/engine/core-worker.ts',
      'onnxruntime-worker': 'runtime/offload/onnxruntime-worker.ts',
      'probe-worker': 'runtime/offload/probe-worker.ts',
    },
  });
  // Where runtime/engine/kernels.ts and runtime/media/codec-io.ts look for them.
  for (const name of ['kernels-plain.wasm', 'kernels-relaxed.wasm'])
    copyFileSync(`${root}build/${name}`, `${folder}/kernels/${name}`);
  for (const name of ['@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm', '@jsquash/webp/codec/dec/webp_dec.wasm'])
    copyFileSync(require.resolve(name), join(folder, basename(name)));
  const files = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const bytes = files.reduce((sum, { parentPath, name }) => sum + statSync(join(parentPath, name)).size, 0);
  console.error(`${folder}: ${(bytes / 1e6).toFixed(2)} MB`);
}
