/** Models of tables for `npm run agree`: trees and linear models. */
import { join } from 'node:path';
import type { Case, Tensors } from './agree-cases.ts';

const ROWS = 200;

/** Made-up measurements: the trees and planes that they meet are real. */
function measurements(input: string, features: number) {
  return async (): Promise<Tensors[]> => {
    const data = Float32Array.from({ length: ROWS * features }, (_, i) => ((i * 7919) % 2003) / 100 - 5);
    return [{ [input]: { type: 'float32', dims: [ROWS, features], data } }];
  };
}

/** `folder` holds other projects' test graphs; it may be missing. */
export function tabularCases(folder: string): Case[] {
  const trained = (name: string, inputs: Case['inputs']): Case => ({
    name,
    required: true,
    model: join(folder, `tract-cases/${name}/model.onnx`),
    sources: [],
    inputs,
  });
  return [
    trained('lgbm_classifier_tensor', measurements('input', 13)),
    trained('xgboost_regressor_tree', measurements('input', 13)),
    trained('linear_classifier', measurements('input', 12)),
    trained('linear_regressor', measurements('input', 21)),
  ];
}
