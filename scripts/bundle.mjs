// How code is bundled for a gateway, and for the benches that start it as a gateway does.
import { copyFileSync, mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));

/**
 * Node's own modules as objects, not as imports: for an import Node reads every property of a module, and those of `fs` load its
 * streams, promises and line reader, 5 ms of each start.
 */
const builtins = {
  name: 'builtins',
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:/ }, ({ path, kind }) =>
      kind === 'import-statement' ? { path, namespace: 'builtins' } : undefined,
    );
    // A copy of Node's own streams, for browsers: mqtt.js asks for it everywhere.
    onResolve({ filter: /^readable-stream$/ }, () => ({ path: 'node:stream', namespace: 'builtins' }));
    onLoad({ filter: /.*/, namespace: 'builtins' }, ({ path }) => ({
      contents: `module.exports = process.getBuiltinModule('${path}');`,
    }));
  },
};

const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'esm',
  // ES modules where a package has both: what nobody uses can be left out of them.
  mainFields: ['module', 'main'],
  plugins: [builtins],
  // Optional and large: a gateway that needs the fallback installs it beside the bundle. HiGHS looks for its WebAssembly beside itself.
  external: ['onnxruntime-web', 'onnxruntime-node', 'highs'],
  // CommonJS packages inside the bundle ask for Node's own modules by require(). The long name cannot meet one that
  // the minifier makes up: it does not know of the banner.
  banner: {
    js: "const require = process.getBuiltinModule('node:module').createRequire(import.meta.url);",
  },
  logLevel: 'warning',
};

/**
 * `entries`: file names in the folder, without `.js`, and what each is made of; `workers` likewise. `isForReaders`: names and
 * lines stay, so that an error's trace can be read.
 */
export async function bundle(folder, { entries, workers, isForReaders = false }) {
  const small = { minifyWhitespace: true, minifySyntax: true };
  const options = { ...common, ...small, ...(isForReaders ? { lineLimit: 120 } : { minifyIdentifiers: true }) };
  mkdirSync(`${folder}/kernels`, { recursive: true });
  // Files that others import get a hash of their contents in their names: runtime/engine/engine.ts tells builds apart by it.
  await build({ ...options, outdir: folder, entryPoints: entries, splitting: true });
  // Whole, each: what they shared with the others would be files of its own, and each file costs every start a millisecond.
  await build({ ...options, outdir: folder, entryPoints: workers });
  // Where runtime/engine/kernels.ts looks for them.
  for (const name of ['kernels-plain.wasm', 'kernels-relaxed.wasm'])
    copyFileSync(`${root}build/${name}`, `${folder}/kernels/${name}`);
}
