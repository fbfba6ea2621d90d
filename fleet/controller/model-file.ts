/** What the registry asks of a model file and of its labels before it takes them in. */
import { describeModel, type ModelDescription } from '../../runtime/onnx/describe.ts';
import { readModel } from '../../runtime/onnx/read.ts';

export const MODEL_BYTES_MAX = 2 ** 30;
const LABELS_MAX = 100_000;
const LABEL_CHARACTERS_MAX = 1_000;

/** Throws an Error with the reason when the bytes are no complete, valid ONNX model. */
export function inspectModel(name: string, bytes: Uint8Array): ModelDescription {
  try {
    const model = readModel(bytes);
    if (model.externalFiles.length > 0)
      throw new Error(
        `its weights lie in other files (${model.externalFiles.join(', ')}); save it again as one file, with onnx.save_model(…, save_as_external_data=False)`,
      );
    return describeModel(model);
  } catch (cause) {
    throw new Error(`model "${name}" was refused: ${(cause as Error).message}`, { cause });
  }
}

/** Labels as the file that nodes fetch: a JSON array of strings. */
export function encodeLabels(name: string, labels: readonly string[]): Uint8Array {
  if (labels.length === 0)
    throw new Error(`model "${name}": expected at least one label; leave the labels out instead`);
  if (labels.length > LABELS_MAX)
    throw new Error(`model "${name}": expected at most ${LABELS_MAX} labels, got ${labels.length}`);
  const long = labels.findIndex((label) => label.length > LABEL_CHARACTERS_MAX);
  if (long >= 0)
    throw new Error(`model "${name}", label ${long + 1}: expected at most ${LABEL_CHARACTERS_MAX} characters`);
  return new TextEncoder().encode(JSON.stringify(labels));
}
