/** The operators of ai.onnx.ml. Texts, and maps, are host values: runtime/ops/host. */
import type { Versions } from '../context.ts';
import * as features from './features.ts';
import * as linear from './linear.ts';
import * as trees from './trees.ts';

export const mlOperators: Readonly<Record<string, Versions>> = {
  ArrayFeatureExtractor: [[1, features.arrayFeatureExtractor]],
  Binarizer: [[1, features.binarizer]],
  FeatureVectorizer: [[1, features.featureVectorizer]],
  Imputer: [[1, features.imputer]],
  LabelEncoder: [[2, features.labelEncoder]],
  LinearClassifier: [[1, linear.linearClassifier]],
  LinearRegressor: [[1, linear.linearRegressor]],
  Normalizer: [[1, features.normalizer]],
  OneHotEncoder: [[1, features.oneHotEncoder]],
  SVMClassifier: [[1, linear.svmClassifier]],
  SVMRegressor: [[1, linear.svmRegressor]],
  Scaler: [[1, features.scaler]],
  TreeEnsemble: [[5, trees.treeEnsemble]],
  TreeEnsembleClassifier: [[1, trees.treeEnsembleClassifier]],
  TreeEnsembleRegressor: [[1, trees.treeEnsembleRegressor]],
};
