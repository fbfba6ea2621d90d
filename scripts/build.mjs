// Builds everything that is out of date: the kernels (WebAssembly) and the bundle that a gateway runs (build/gateway).
import { copyFileSync, mkdirSync, readdirSync, statSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { buildKernels } from './build-kernels.mjs';

const root = fileURLToPath(new URL('..', import.meta.url));
const require = createRequire(import.meta.url);

await buildKernels();
await buildGateway();

/** A node in one folder: main.js, its workers beside it, and the WebAssembly they load. No node_modules needed. */
async function buildGateway() {
  const folder = `${root}build/gateway`;
  mkdirSync(folder, { recursive: true });
  await build({
    absWorkingDir: root,
    entryPoints: {
      main: 'devices/gateway/main.ts',
      'core-worker': 'runtime/engine/core-worker.ts',
      'onnxruntime-worker': 'runtime/offload/onnxruntime-worker.ts',
    },
    outdir: folder,
    bundle: true,
    splitting: true,
    minify: true,
    platform: 'node',
    target: 'node24',
    format: 'esm',
    // Optional and large: a gateway that needs the fallback installs it beside the bundle.
    external: ['onnxruntime-web', 'onnxruntime-node'],
    // CommonJS packages inside the bundle ask for Node's own modules by require().
    banner: { js: "import { createRequire as _r } from 'node:module'; const require = _r(import.meta.url);" },
    logLevel: 'warning',
  });
  const wasm = [
    `${root}build/kernels-plain.wasm`,
    `${root}build/kernels-relaxed.wasm`,
    require.resolve('@jsquash/jpeg/codec/dec/mozjpeg_dec.wasm'),
  ];
  for (const file of wasm) copyFileSync(file, `${folder}/${basename(file)}`);
  const bytes = readdirSync(folder).reduce((sum, name) => sum + statSync(`${folder}/${name}`).size, 0);
  console.error(`build/gateway: ${(bytes / 1e6).toFixed(2)} MB`);
}
