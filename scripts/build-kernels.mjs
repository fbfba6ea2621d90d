// Compiles assembly/ into build/kernels-plain.wasm and build/kernels-relaxed.wasm, each only when it is older than its sources.
// With --sizes it also prints how many bytes of code each kernel family has.
// Plain JavaScript that runs on Node 20, since `npm start` builds before it changes to the packaged Node.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync } from 'node:fs';
import { resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const TARGETS = ['plain', 'relaxed'];

/** Resolves when both binaries are newer than every source; throws an Error with the compiler's message otherwise. */
export async function buildKernels() {
  const sources = readdirSync(`${root}assembly`, { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => `assembly/${name}`);
  const newest = Math.max(...[...sources, 'asconfig.json'].map((name) => statSync(root + name).mtimeMs));
  for (const target of TARGETS) {
    const file = `build/kernels-${target}.wasm`;
    if (existsSync(root + file) && statSync(root + file).mtimeMs >= newest) continue;
    await compile(target, file);
  }
}

/** Writes beside the old file and renames, so that a reader never sees half a binary. */
async function compile(target, file) {
  const asc = await import('assemblyscript/asc');
  mkdirSync(`${root}build`, { recursive: true });
  const part = `${file}.${process.pid}.part`;
  const started = performance.now();
  const { error, stderr } = await asc.main(['--config', 'asconfig.json', '--target', target, '--outFile', part], {
    baseDir: root,
    readFile,
  });
  if (error) {
    rmSync(root + part, { force: true });
    throw new Error(`asc could not compile assembly/ (${target}):\n${stderr.toString()}`, { cause: error });
  }
  renameSync(root + part, root + file);
  const kilobytes = (statSync(root + file).size / 1024).toFixed(0);
  console.error(`${file}: ${kilobytes} KB in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** Imports in this project name whole files; asc appends another `.ts` to each. Returns null for what is not there, as asc expects. */
function readFile(name, baseDir) {
  const path = resolve(baseDir, name.replace(/\.ts\.ts$/, '.ts'));
  return existsSync(path) ? readFileSync(path, 'utf8') : null;
}

/** One line a kernel family: bytes of code in each binary. Compiled again with function names, which change no code. */
async function printSizes() {
  const asc = await import('assemblyscript/asc');
  const { familySizes } = await import('./kernel-sizes.mjs');
  const columns = [];
  for (const target of TARGETS) {
    let binary = new Uint8Array();
    const writeFile = (_, contents) => {
      if (typeof contents !== 'string') binary = contents;
    };
    const words = ['--config', 'asconfig.json', '--target', target, '--debug', '--outFile', 'named.wasm'];
    const { error, stderr } = await asc.main(words, { baseDir: root, readFile, writeFile });
    if (error) throw new Error(`asc could not compile assembly/ (${target}):\n${stderr.toString()}`, { cause: error });
    columns.push(new Map(familySizes(binary)));
  }
  for (const family of columns[0].keys())
    console.log(`${family.padEnd(16)}${columns.map((sizes) => String(sizes.get(family) ?? 0).padStart(8)).join('')}`);
  const sums = columns.map((sizes) => [...sizes.values()].reduce((sum, size) => sum + size, 0));
  console.log(`${'all code'.padEnd(16)}${sums.map((sum) => String(sum).padStart(8)).join('')}`);
  const files = TARGETS.map((target) => statSync(`${root}build/kernels-${target}.wasm`).size);
  console.log(
    `${'file'.padEnd(16)}${files.map((size) => String(size).padStart(8)).join('')}   (${TARGETS.join(', ')})`,
  );
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  await buildKernels();
  if (process.argv.includes('--sizes')) await printSizes();
}
