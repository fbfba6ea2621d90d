// Everything the host can call. runtime/engine/kernels.ts is the only file that loads the result.
export { execute, faultWord } from './program.ts';
export { setScratch } from './tensor/scratch.ts';

/** First byte behind the module's static data: the host may use all memory from here on. */
export function heapBase(): usize {
  return __heap_base;
}
