/** Reads the models of layers (Keras, for TensorFlow.js) that npm's `nsfwjs` carries: real weights of common networks. */
import { readdirSync } from 'node:fs';
import { peerFile, requirePeer } from '../peers.ts';

export interface WeightSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly quantization: { readonly min: number; readonly scale: number; readonly dtype: 'uint8' };
}

export interface Layer {
  readonly class_name: string;
  readonly config: LayerConfig;
  /** For each use of the layer its sources; the first of each is the name of a layer. */
  readonly inbound_nodes: readonly (readonly (readonly [string, ...unknown[]])[])[];
}

/** What the layers of these models say, in Keras' words. */
export interface LayerConfig {
  readonly name: string;
  readonly padding: 'same' | 'valid' | readonly [readonly [number, number], readonly [number, number]];
  readonly kernel_size: readonly [number, number];
  readonly pool_size: readonly [number, number];
  readonly strides: readonly [number, number];
  readonly activation: string;
  readonly use_bias: boolean;
  readonly scale: boolean;
  readonly epsilon: number;
  readonly max_value: number | null;
  readonly batch_input_shape: readonly (number | null)[];
}

export interface LayersModel {
  readonly modelTopology: {
    readonly model_config: {
      readonly config: { readonly layers: readonly Layer[]; readonly output_layers: [[string]] };
    };
  };
  readonly weightSpecs: readonly WeightSpec[];
  readonly weightData: ArrayBuffer;
}

interface Manifest {
  readonly modelTopology: LayersModel['modelTopology'];
  readonly weightsManifest: readonly { readonly paths: readonly string[]; readonly weights: readonly WeightSpec[] }[];
}

/** The package keeps every file as a script that exports it, binary ones as base64. */
function required<Type>(path: string): Type {
  const loaded = requirePeer(path);
  return loaded.default ?? loaded;
}

export function layersModel(name: string): LayersModel {
  const folder = peerFile(`nsfwjs/dist/models/${name}`);
  const files = readdirSync(folder);
  const { modelTopology, weightsManifest } = required<Manifest>(`${folder}/model.min.js`);
  const parts = weightsManifest
    .flatMap(({ paths }) => paths)
    .map((path) => {
      const file = files.find((candidate) => candidate.startsWith(`${path}.`));
      if (!file) throw new Error(`nsfwjs, ${name}: expected a file of weights "${path}", found none`);
      return Buffer.from(required<string>(`${folder}/${file}`), 'base64');
    });
  const weightData = new Uint8Array(Buffer.concat(parts)).buffer;
  return { modelTopology, weightSpecs: weightsManifest.flatMap(({ weights }) => weights), weightData };
}

/** Weights by name, as numbers: value = min + byte × scale. */
export function layerWeights({
  weightSpecs,
  weightData,
}: LayersModel): Map<string, WeightSpec & { data: Float32Array }> {
  const bytes = new Uint8Array(weightData);
  let offset = 0;
  return new Map(
    weightSpecs.map((spec) => {
      const { name, shape, quantization } = spec;
      if (quantization?.dtype !== 'uint8')
        throw new Error(`weight "${name}": expected bytes, got ${quantization?.dtype}`);
      const count = shape.reduce((product, size) => product * size, 1);
      const data = Float32Array.from(
        bytes.subarray(offset, offset + count),
        (byte) => byte * quantization.scale + quantization.min,
      );
      offset += count;
      return [name, { ...spec, data }];
    }),
  );
}
