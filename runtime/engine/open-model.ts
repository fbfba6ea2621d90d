/**
 * From a model file to a model that runs. The engine loads this file, and the compiler with it, when nothing was kept from an earlier
 * start; so also what chooses a build: in a bundle, each file that is loaded apart splits what it shares with others, and every
 * piece costs each start a millisecond.
 */
import type { ByteSource } from '../onnx/byte-source.ts';
import { externalReader } from '../onnx/external-io.ts';
import { readModel } from '../onnx/read.ts';
import { hasOperator } from '../ops/index.ts';
import { EngineModel, type ModelHome } from './engine-model.ts';

export { chooseBuild } from './choose-build.ts';
export { serveCompiler } from './compile-server.ts';

/** Throws as `Engine.load` rejects. `folder` is where weights beside the file are looked for. */
export async function openModel(
  file: ByteSource,
  { name, folder }: { readonly name: string; readonly folder?: string },
  home: ModelHome,
): Promise<EngineModel> {
  const readExternal = folder === undefined ? undefined : externalReader(folder);
  const graph = readModel(file, { readExternal, hasOperator });
  const model = new EngineModel(graph, { name, folder, file }, home);
  try {
    await model.compileAhead();
  } catch (error) {
    await model.close();
    throw error;
  }
  return model;
}
