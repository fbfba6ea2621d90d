/** Which build of the kernels is used on this machine: the fastest whose results agree with plain loops. */
import { checkKernels, isWideFaster } from './kernel-check.ts';
import { canRevectorize, type KernelBuild, loadKernels, moduleOf, prepareV8 } from './kernels.ts';

export interface BuildChoice {
  readonly build: KernelBuild;
  /** Why a faster build was not taken; empty when the fastest was. */
  readonly notes: readonly string[];
}

export interface TriedBuild extends BuildChoice {
  /** Those of the notes that tell of wrong results. */
  readonly mismatches: readonly string[];
}

const CHECK_PAGES = 16;

/**
 * Tries the builds in a memory of their own: 20 to 50 ms, most of them the optimising compiler's. Throws an Error when none gives right
 * results, or when the binaries are not there.
 */
export function chooseBuild(): TriedBuild {
  prepareV8();
  const memory = new WebAssembly.Memory({ initial: CHECK_PAGES, maximum: CHECK_PAGES, shared: true });
  const notes: string[] = [];
  const mismatches: string[] = [];
  const candidates: KernelBuild[] = canRevectorize() ? ['revectorized', 'relaxed', 'plain'] : ['relaxed', 'plain'];
  for (const build of candidates) {
    if (!moduleOf(build)) {
      notes.push(`${build}: this host does not know relaxed SIMD`);
      continue;
    }
    const kernels = loadKernels(memory, { build });
    const mismatch = checkKernels(memory, kernels);
    if (mismatch) {
      notes.push(`${build}: ${mismatch}`);
      mismatches.push(`${build}: ${mismatch}`);
    } else if (build === 'revectorized' && !isWideFaster(memory, kernels)) notes.push('revectorized: no faster here');
    else return { build, notes, mismatches };
  }
  throw new Error(`kernels: no build gives right results on this machine: ${notes.join('; ')}`);
}
