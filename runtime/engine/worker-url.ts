/**
 * Where a worker's file lies. In development it is the TypeScript file beside its caller. In a bundle all code is one
 * JavaScript file, and the bundle step writes each worker (`compile-worker`, `core-worker`, `onnxruntime-worker`) as a file
 * beside it, under the same name with `.js`.
 *
 * `from` is the caller's `import.meta.url`; a bundler leaves it to mean the bundle.
 */
export function workerUrl(name: string, from: string): URL {
  return new URL(`./${name}${from.endsWith('.ts') ? '.ts' : '.js'}`, from);
}
