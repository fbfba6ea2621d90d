/** ONNX file → checked graph. Source: onnx.proto3 and the ONNX IR specification (docs/IR.md). */

import { type ByteSource, memorySource } from './byte-source.ts';
import { buildGraph, plainDomain } from './checked-graph.ts';
import { recogniseOther } from './formats.ts';
import { type HasOperator, inlineFunctions } from './functions.ts';
import type { OnnxModel } from './graph.ts';
import { FILE_BYTES_MAX, IR_VERSION_MAX, PRODUCER_LENGTH_MAX } from './limits.ts';
import { type ModelMessage, modelFields } from './messages.ts';
import { readInParts } from './read-in-parts.ts';
import type { ReadExternal } from './tensor-data.ts';
import { Reader, readFields } from './wire.ts';

/** What other formats are recognised by. */
const HEAD_BYTES = 64;

export interface ReadOptions {
  readonly readExternal?: ReadExternal;
  readonly hasOperator?: HasOperator;
}

/**
 * Reads and checks an ONNX model. Tensors stay views of the file's bytes, which must not change afterwards; of a file that
 * is not in memory, they are read when they are asked for.
 * Weights that lie in other files are read through `readExternal` (see external-io.ts) when they are asked for.
 * The model's own functions are put in place; `hasOperator` says which operators need none (by default all are put in place).
 * Throws an Error with one sentence that says what is wrong with the file and what to do.
 */
export function readModel(file: Uint8Array | ByteSource, options: ReadOptions = {}): OnnxModel {
  const source = file instanceof Uint8Array ? memorySource(file) : file;
  const message = parse(source);
  if (!(message.irVersion >= 1 && message.irVersion <= IR_VERSION_MAX)) {
    throw new Error(
      `model file: expected an IR version from 1 to ${IR_VERSION_MAX}, got ${message.irVersion}; save the model again for an older version`,
    );
  }
  if (!message.graph)
    throw new Error('model file: expected a graph, found none; the file holds no ONNX model, or was cut off');
  if (message.opsets.length === 0)
    throw new Error('model file: expected an operator set version (opset_import), found none; export the model again');
  // A function may use domains that the model's own graph does not; versions of the same domain have to be compatible (IR.md).
  const imports = [...message.functions.flatMap((each) => each.opsets), ...message.opsets];
  const opsets = Object.fromEntries(imports.map(({ domain, version }) => [plainDomain(domain), version]));
  for (const [domain, version] of Object.entries(opsets)) {
    if (!(version >= 1))
      throw new Error(
        `model file: expected an opset version of 1 or more for "${domain || 'ai.onnx'}", got ${version}`,
      );
  }
  const externalFiles = new Set<string>();
  const inlined = inlineFunctions(message.graph, message, opsets, options.hasOperator ?? (() => false));
  const files = { file: source, latest: {}, readExternal: options.readExternal, externalFiles };
  const graph = buildGraph(inlined, { ...files, opsets });
  return {
    irVersion: message.irVersion,
    // It is shown on terminals, which obey control characters.
    producer: [message.producerName, message.producerVersion]
      .filter(Boolean)
      .join(' ')
      .slice(0, PRODUCER_LENGTH_MAX)
      .replace(/\p{Cc}+/gu, ' '),
    opsets,
    graph,
    externalFiles: [...externalFiles],
  };
}

function parse(file: ByteSource): ModelMessage {
  const { byteLength } = file;
  if (byteLength === 0) throw new Error('model file: expected an ONNX model, got an empty file');
  if (byteLength > FILE_BYTES_MAX)
    throw new Error(`model file: expected at most ${FILE_BYTES_MAX} bytes, got ${byteLength}`);
  const other = recogniseOther(file.read(0, Math.min(byteLength, HEAD_BYTES)));
  if (other) throw new Error(`model file: expected an ONNX model, got ${other}`);
  const model: ModelMessage = { irVersion: 0, producerName: '', producerVersion: '', opsets: [], functions: [] };
  try {
    if (!file.inMemory) return readInParts(file, model);
    return readFields(new Reader(file.read(0, byteLength)), byteLength, modelFields, model);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`model file: expected an ONNX model, but it cannot be read: ${reason}`, { cause });
  }
}
