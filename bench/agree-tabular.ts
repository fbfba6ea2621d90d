/** Models of tables and bytes for `npm run agree`: trees, linear models, and a recogniser of file types. */
import { readFileSync } from 'node:fs';
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

/** Flowers whose species is known: sepal and petal, length and width in cm. */
async function flowers(): Promise<Tensors[]> {
  const data = Float32Array.of(5.1, 3.5, 1.4, 0.2, 6.4, 3.2, 4.5, 1.5, 6.3, 3.3, 6, 2.5);
  return [{ input: { type: 'float32', dims: [3, 4], data } }];
}

const [BEGINNING, PADDING] = [512, 256];

/** The first, middle and last bytes of a file, as the recogniser's own program takes them. */
async function bytesOfFile(source: string): Promise<Tensors[]> {
  const bytes = readFileSync(source);
  const data = new Float32Array(3 * BEGINNING).fill(PADDING);
  const middle = Math.max(0, Math.floor((bytes.length - BEGINNING) / 2));
  [0, middle, Math.max(0, bytes.length - BEGINNING)].forEach((start, part) => {
    data.set(bytes.subarray(start, start + BEGINNING), part * BEGINNING);
  });
  return [{ bytes: { type: 'float32', dims: [1, data.length], data } }];
}

/** `folder` holds models and other projects' test graphs; it may be missing. */
export function tabularCases(folder: string): Case[] {
  const of = (name: string, path: string, inputs: Case['inputs'], sources: readonly string[] = []): Case => ({
    name,
    required: true,
    model: join(folder, path),
    sources: sources.map((each) => join(folder, each)),
    inputs,
  });
  const trained = (name: string, inputs: Case['inputs']): Case => of(name, `tract-cases/${name}/model.onnx`, inputs);
  const pictures = ['datasets/images/dog.jpg', 'datasets/images/kitten_224.png'];
  return [
    trained('lgbm_classifier_tensor', measurements('input', 13)),
    trained('xgboost_regressor_tree', measurements('input', 13)),
    trained('linear_classifier', measurements('input', 12)),
    trained('linear_regressor', measurements('input', 21)),
    of('winml_iris/Regression', 'models/winml_iris/Regression.onnx', flowers),
    of('magika_v1/model', 'models/magika_v1/model.onnx', bytesOfFile, pictures),
  ];
}
