/** The passes, in the order in which they run. */
import { joinActivations } from './activations.ts';
import { foldAffine, foldIntoNext, joinScales } from './affine.ts';
import { joinAttention } from './attention.ts';
import { fuseEpilogues } from './epilogue.ts';
import { multiplyIntegers } from './integers.ts';
import { joinLayerNorm } from './layer-norm.ts';
import { moveTransposes } from './layout.ts';
import { foldPadding } from './padding.ts';
import { moveIntegers } from './quantized-moves.ts';
import type { Pass } from './rewrite.ts';

export const passes: readonly Pass[] = [
  moveTransposes,
  foldAffine,
  joinScales,
  joinLayerNorm,
  joinAttention,
  joinActivations,
  // What an activation left behind (6 · hardSwish / 6) joins, and scales before a layer normalisation's ends move in.
  joinScales,
  foldAffine,
  moveIntegers,
  multiplyIntegers,
  foldPadding,
  foldIntoNext,
  fuseEpilogues,
];
