/** ONNX's official test cases, and tract's, as they lie in the folder of shared data. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { elementCount, type Tensor, type ValueDescription } from '../../runtime/engine/tensor.ts';
import type { EngineValue } from '../../runtime/engine/value.ts';
import type { OnnxModel } from '../../runtime/onnx/graph.ts';
import { sharedData } from '../requirement.ts';
import { readNpz } from './npz.ts';
import { readValueFile } from './tensor-file.ts';

/** Inputs and what has to come out, in the order of the model's inputs and outputs; some outputs have no right answer. */
export interface DataSet {
  readonly inputs: readonly EngineValue[];
  readonly outputs: readonly (EngineValue | undefined)[];
}

export interface Case {
  /** Unique among all suites: the folder's name, with its suite before it unless that is `node`. */
  readonly name: string;
  readonly suite: Suite;
  readonly modelPath: string;
  /** Lazy: the data of one case can be large. None where no answer is stored beside the model. */
  dataSets(model: OnnxModel): DataSet[];
}

export const suites = ['node', 'simple', 'light', 'pytorch-converted', 'pytorch-operator', 'tract'] as const;
export type Suite = (typeof suites)[number];

/** Where onnxruntime's own results for `node` stand. */
export const baselinePath = `${sharedData}onnx-node/ort-1.30-baseline.json`;

export const bytesOf = (path: string): Uint8Array => new Uint8Array(readFileSync(path));

export function casesOf(suite: Suite): Case[] {
  if (suite === 'light') return lightCases(`${sharedData}onnx-node/light/`);
  if (suite === 'tract') return tractCases(`${sharedData}tract-cases/`);
  const folder = `${sharedData}onnx-node/${suite}/`;
  return readdirSync(folder)
    .sort()
    .map((each) => ({
      name: suite === 'node' ? each : `${suite}/${each}`,
      suite,
      modelPath: `${folder}${each}/model.onnx`,
      dataSets: ({ graph }) =>
        readdirSync(folder + each)
          .filter((set) => set.startsWith('test_data_set_'))
          .map((set) => ({
            inputs: readNumbered(`${folder}${each}/${set}/input_`, graph.inputs),
            outputs: readNumbered(`${folder}${each}/${set}/output_`, graph.outputs),
          })),
    }));
}

/** Files hold values of the types that the model declares. */
function readNumbered(prefix: string, declared: readonly ValueDescription[]): EngineValue[] {
  const paths = declared.map((_, index) => `${prefix}${index}.pb`);
  const end = paths.findIndex((path) => !existsSync(path));
  return paths
    .slice(0, end < 0 ? paths.length : end)
    .map((path, index) => readValueFile(bytesOf(path), declared[index]?.type ?? ''));
}

/** One input, rising from 0 towards 1, as onnx's own runner makes it for these models; weights are constants without data. */
function lightCases(folder: string): Case[] {
  const names = readdirSync(folder).filter((file) => file.endsWith('.onnx'));
  return names.sort().map((file) => ({
    name: `light/${file.slice(0, -'.onnx'.length)}`,
    suite: 'light',
    modelPath: folder + file,
    dataSets: ({ graph }) => [
      {
        inputs: graph.inputs.map(rising),
        outputs: readNumbered(`${folder}${file.slice(0, -'.onnx'.length)}_output_`, graph.outputs),
      },
    ],
  }));
}

function rising({ dims }: ValueDescription): Tensor {
  const sizes = dims.map((size) => (typeof size === 'number' ? size : 1));
  const count = elementCount(sizes);
  return { type: 'float32', dims: sizes, data: Float32Array.from({ length: count }, (_, i) => i / count) };
}

/** Inputs and outputs by name in one archive; two models come without any. */
function tractCases(folder: string): Case[] {
  const names = readdirSync(folder).sort();
  return names.map((each) => ({
    name: `tract/${each}`,
    suite: 'tract',
    modelPath: `${folder}${each}/model.onnx`,
    dataSets({ graph }) {
      const path = `${folder}${each}/io.npz`;
      if (!existsSync(path)) return [];
      const tensors = readNpz(readFileSync(path));
      const inputs = graph.inputs.map(({ name }) => tensors.get(name) as Tensor);
      return [{ inputs, outputs: graph.outputs.map((output) => inDeclaredShape(tensors.get(output.name), output)) }];
    },
  }));
}

/**
 * xgboost's own prediction is a vector where its model declares a column [n, 1], which is also the standard's shape
 * (TreeEnsembleRegressor: a score of each target for each example) and onnxruntime's.
 */
function inDeclaredShape(tensor: Tensor | undefined, { dims }: ValueDescription): Tensor | undefined {
  const isColumn = tensor?.dims.length === 1 && dims.length === 2 && dims[1] === 1;
  return isColumn ? { ...tensor, dims: [tensor.dims[0] as number, 1] } : tensor;
}
