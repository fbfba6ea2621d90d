/** The operators of ai.onnx.ml. */
import type { Versions } from '../context.ts';
import * as trees from './trees.ts';

export const mlOperators: Readonly<Record<string, Versions>> = {
  TreeEnsemble: [[5, trees.treeEnsemble]],
  TreeEnsembleClassifier: [[1, trees.treeEnsembleClassifier]],
  TreeEnsembleRegressor: [[1, trees.treeEnsembleRegressor]],
};
