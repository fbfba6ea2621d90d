/** From a model file to a model that runs. The engine loads this file, and the compiler with it, when it is needed. */
import type { ByteSource } from '../onnx/byte-source.ts';
import { externalReader } from '../onnx/external-io.ts';
import { readModel } from '../onnx/read.ts';
import { hasOperator } from '../ops/index.ts';
import { EngineModel, type ModelHome } from './engine-model.ts';

/** Throws as `Engine.load` rejects. `folder` is where weights beside the file are looked for. */
export async function openModel(
  file: ByteSource,
  { name, folder }: { readonly name: string; readonly folder?: string },
  home: ModelHome,
): Promise<EngineModel> {
  const readExternal = folder === undefined ? undefined : externalReader(folder);
  const graph = readModel(file, { readExternal, hasOperator });
  const model = new EngineModel(graph, name, file.byteLength, home);
  try {
    model.compileAhead();
  } catch (error) {
    await model.close();
    throw error;
  }
  return model;
}
