/** TensorFlow.js on its WebAssembly backend (XNNPACK) as a contender: models of layers, and single operators. */
import { prepareV8 } from '../../runtime/engine/kernels.ts';
import type { Tensor } from '../../runtime/engine/tensor.ts';
import { layersModel } from '../cases/layers-model.ts';
import { peerFile, requirePeer } from '../peers.ts';
import { toChannelsLast } from './channels.ts';
import type { Engine, Job, Opened, Tensors } from './contender.ts';
import { tensorflowOperator } from './tensorflow-operator.ts';

/** The part of the library's tensors that is used here; the packages are not there when types are checked. */
export interface TfTensor {
  readonly shape: number[];
  dataSync(): Float32Array;
  dispose(): void;
}

// biome-ignore lint/suspicious/noExplicitAny: the library's types are installed with it, on demand.
export type Tensorflow = any;

/** `ourFlags`: under the V8 flags that our engine sets for itself, which make this library faster too. */
export async function tensorflow(ourFlags: boolean): Promise<Engine> {
  if (ourFlags) prepareV8();
  const tf: Tensorflow = requirePeer('@tensorflow/tfjs-core');
  const wasm = requirePeer('@tensorflow/tfjs-backend-wasm');
  requirePeer('@tensorflow/tfjs-backend-cpu');
  wasm.setWasmPaths(peerFile('@tensorflow/tfjs-backend-wasm/wasm-out/'));
  wasm.setThreadsCount(1);
  await tf.setBackend('wasm');
  await tf.ready();
  return {
    about: `${tf.version_core}${ourFlags ? ' with our V8 flags' : ''}`,
    open: async (job) => {
      if (!job.tensorflow) throw new Error('no form of this case for TensorFlow.js');
      if (job.tensorflow.kind === 'layers') return openLayers(tf, job, job.tensorflow.model);
      const operator = tensorflowOperator(tf, job.tensorflow.node, job.inputs);
      return openFunction(tf, operator);
    },
  };
}

/** The values of a run in the library's layout, what to compute of them, and how its result looks in ONNX's layout. */
export interface TensorflowFunction {
  readonly inputs: readonly Tensor[];
  compute(inputs: readonly TfTensor[]): TfTensor;
  toOnnx(values: Float32Array, shape: readonly number[]): Tensor;
}

function openFunction(tf: Tensorflow, { inputs, compute, toOnnx }: TensorflowFunction): Opened {
  return {
    async run() {
      const started = performance.now();
      const tensors: TfTensor[] = inputs.map(({ data, dims }) => tf.tensor(data, dims));
      const before = performance.now();
      const result: TfTensor = tf.tidy(() => compute(tensors));
      const after = performance.now();
      const values = result.dataSync().slice();
      const ended = performance.now();
      const outputs = { y: toOnnx(values, result.shape) };
      for (const tensor of [...tensors, result]) tensor.dispose();
      return { ms: ended - started, insideMs: after - before, outputs };
    },
    async close() {
      tf.disposeVariables();
    },
  };
}

/** Pictures come as NCHW, as the converted file takes them, and are turned round before the clock starts. */
async function openLayers(tf: Tensorflow, { inputs }: Job, name: string): Promise<Opened> {
  const { modelTopology, weightSpecs, weightData } = layersModel(name);
  const layers = requirePeer('@tensorflow/tfjs-layers');
  const model = await layers.loadLayersModel(tf.io.fromMemory({ modelTopology, weightSpecs, weightData }));
  const [picture] = Object.values(inputs as Tensors) as [Tensor];
  const opened = openFunction(tf, {
    inputs: [toChannelsLast(picture)],
    compute: ([x]) => model.predict(x),
    toOnnx: (data, dims) => ({ type: 'float32', dims, data }),
  });
  return { run: opened.run, close: async () => model.dispose() };
}
