/** The table of operators that run in JavaScript: domain → name → since which opset version → how. */

import type { GraphNode, OnnxModel } from '../../onnx/graph.ts';
import { entryFor } from '../context.ts';
import { cast } from './cast.ts';
import type { HostBuild } from './host-context.ts';
import { imageDecoder } from './image-decoder.ts';
import * as labels from './labels.ts';
import * as layout from './layout.ts';
import * as map from './map.ts';
import * as sequence from './sequence.ts';
import * as text from './text.ts';
import { tfIdfVectorizer } from './tfidf.ts';
import { unique } from './unique.ts';

/** Ascending; the last entry not above the model's opset version holds. */
type Versions = readonly (readonly [since: number, build: HostBuild])[];

/**
 * A node runs here when its operator has no entry in the kernels' table (runtime/ops/index.ts), or when one of its inputs
 * or its constant is a value that kernels cannot hold: then Identity, Reshape, Gather, Equal and so on mean these.
 */
export const hostOperators: Readonly<Record<string, Readonly<Record<string, Versions>>>> = {
  '': {
    Cast: [[9, cast]],
    Concat: [[4, layout.concat]],
    ConcatFromSequence: [[11, sequence.concatFromSequence]],
    Constant: [[1, layout.constant]],
    ConstantOfShape: [[9, layout.constantOfShape]],
    Equal: [[7, layout.equal]],
    Expand: [[8, layout.expand]],
    Flatten: [[1, layout.flatten]],
    Gather: [[1, layout.gather]],
    ImageDecoder: [[20, imageDecoder]],
    Identity: [[1, layout.identity]],
    Optional: [[15, sequence.optional]],
    OptionalGetElement: [[15, sequence.optionalGetElement]],
    OptionalHasElement: [[15, sequence.optionalHasElement]],
    RegexFullMatch: [[20, text.regexFullMatch]],
    Reshape: [[1, layout.reshape]],
    SequenceAt: [[11, sequence.sequenceAt]],
    SequenceConstruct: [[11, sequence.sequenceConstruct]],
    SequenceEmpty: [[11, sequence.sequenceEmpty]],
    SequenceErase: [[11, sequence.sequenceErase]],
    SequenceInsert: [[11, sequence.sequenceInsert]],
    SequenceLength: [[11, sequence.sequenceLength]],
    Shape: [[1, layout.shape]],
    Size: [[1, layout.size]],
    Slice: [[1, layout.slice]],
    SplitToSequence: [[11, sequence.splitToSequence]],
    Squeeze: [[1, layout.squeeze]],
    StringConcat: [[20, text.stringConcat]],
    StringNormalizer: [[10, text.stringNormalizer]],
    StringSplit: [[20, text.stringSplit]],
    TfIdfVectorizer: [[9, tfIdfVectorizer]],
    Tile: [[6, layout.tile]],
    Transpose: [[1, layout.transpose]],
    Unique: [[11, unique]],
    Unsqueeze: [[1, layout.unsqueeze]],
    Where: [[9, layout.where]],
  },
  'ai.onnx.ml': {
    ArrayFeatureExtractor: [[1, map.arrayFeatureExtractor]],
    CastMap: [[1, map.castMap]],
    CategoryMapper: [[1, labels.categoryMapper]],
    DictVectorizer: [[1, map.dictVectorizer]],
    LabelEncoder: [
      [1, labels.labelEncoderByClasses],
      [2, labels.labelEncoder],
    ],
    OneHotEncoder: [[1, map.oneHotEncoder]],
    ZipMap: [[1, map.zipMap]],
  },
  /** Ours: what a classifier becomes whose labels are texts. */
  llmasos: {
    ClassLabel: [[0, labels.classLabel]],
  },
};

/** How a node runs on whole values, or `undefined` when it does not. */
export function findHostOperator(node: GraphNode, opsets: OnnxModel['opsets']): HostBuild | undefined {
  const known = Object.hasOwn(hostOperators, node.domain) ? hostOperators[node.domain] : undefined;
  const versions = known && Object.hasOwn(known, node.operator) ? known[node.operator] : undefined;
  return entryFor(versions, opsets[node.domain] ?? 0);
}
