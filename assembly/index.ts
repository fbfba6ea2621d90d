// Everything the host can call. runtime/engine/kernels.ts is the only file that loads the result.
// Imported first and exported then: `export … from` gives AssemblyScript a second copy of the module, with globals of its own.
import { execute, faultWord } from './program.ts';
import { abandon, executeShared, failChunk, help } from './sharing.ts';
import { byteDot } from './tensor/byte-dot.ts';
import { setScratch } from './tensor/scratch.ts';

export { abandon, byteDot, execute, executeShared, failChunk, faultWord, help, setScratch };

/** First byte behind the module's static data: the host may use all memory from here on. */
export function heapBase(): usize {
  return __heap_base;
}
