/** The passes, in the order in which they run. */
import { joinActivations } from './activations.ts';
import { foldAffine, foldIntoNext, joinScales } from './affine.ts';
import { joinAttention } from './attention.ts';
import { fuseEpilogues } from './epilogue.ts';
import { multiplyIntegers } from './integers.ts';
import { joinLayerNorm } from './layer-norm.ts';
import { moveTransposes } from './layout.ts';
import { lookUpFunctions } from './lookup.ts';
import { foldPadding } from './padding.ts';
import { moveIntegers } from './quantized-moves.ts';
import { rescaleInPlace } from './rescale.ts';
import { moveBeforeReshapes } from './reshapes.ts';
import type { Pass } from './rewrite.ts';
import { foldSymmetry } from './symmetry.ts';

export const passes: readonly Pass[] = [
  moveTransposes,
  moveBeforeReshapes,
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
  // What multiplies integers has gone; the steps between the others need no floats either.
  lookUpFunctions,
  foldSymmetry,
  foldPadding,
  rescaleInPlace,
  foldIntoNext,
  fuseEpilogues,
];

/** What each pass does, for people. */
export const passTitles: ReadonlyMap<Pass, string> = new Map([
  [moveTransposes, 'transpositions move towards the outputs and cancel'],
  [moveBeforeReshapes, 'element-wise steps move before reshapes'],
  [foldAffine, 'scales, shifts and batch normalisation go into weights'],
  [joinScales, 'arithmetic with single numbers joins'],
  [joinLayerNorm, 'normalisations that were written out become one operation'],
  [joinAttention, 'attention becomes one operation'],
  [joinActivations, 'activations that were written out become one operation'],
  [moveIntegers, 'quantised values are moved as integers'],
  [multiplyIntegers, 'quantised products become products of integers'],
  [lookUpFunctions, 'functions of quantised values become tables'],
  [foldSymmetry, 'inputs that meet equal factors of a long filter are added before they are multiplied'],
  [foldPadding, 'padding goes into convolutions'],
  [rescaleInPlace, 'products of integers come to their 8-bit scale where they are made'],
  [foldIntoNext, 'scales go into the convolution behind them'],
  [fuseEpilogues, 'additions and activations go into the operation before them'],
]);
