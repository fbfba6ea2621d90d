/** One way to load a model, whichever engine runs it. */
import { UnsupportedError } from '../compile/program.ts';
import type { Engine } from '../engine/engine.ts';
import type { Model } from '../engine/model.ts';
import { loadOnnxruntime } from './onnxruntime.ts';

/**
 * Loads an ONNX model into our own engine, or, where that lacks something the model needs, into onnxruntime: then
 * `model.engine` and `model.fallbackReason` say so. Rejects with an Error when the file is no valid model.
 * `folder` is where weights beside the model file are looked for.
 */
export async function loadModel(
  engine: Engine,
  bytes: Uint8Array,
  options: { name: string; folder?: string },
): Promise<Model> {
  try {
    return await engine.load(bytes, options);
  } catch (error) {
    if (!(error instanceof UnsupportedError)) throw error;
    return loadOnnxruntime(bytes, { ...options, reason: error.message });
  }
}
