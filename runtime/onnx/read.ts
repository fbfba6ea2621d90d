/** ONNX file → checked graph. Source: onnx.proto3 and the ONNX IR specification (docs/IR.md). */

import { buildGraph, plainDomain } from './checked-graph.ts';
import { recogniseOther } from './formats.ts';
import type { OnnxModel } from './graph.ts';
import { FILE_BYTES_MAX, IR_VERSION_MAX, PRODUCER_LENGTH_MAX } from './limits.ts';
import { type ModelMessage, modelFields } from './messages.ts';
import type { ReadExternal } from './tensor-data.ts';
import { Reader, readFields } from './wire.ts';

/**
 * Reads and checks an ONNX model. Tensors stay views of `bytes`, which must not change afterwards.
 * Weights that lie in other files are read through `readExternal` (see external-io.ts) when they are asked for.
 * Throws an Error with one sentence that says what is wrong with the file and what to do.
 */
export function readModel(bytes: Uint8Array, options: { readExternal?: ReadExternal } = {}): OnnxModel {
  const message = parse(bytes);
  if (!(message.irVersion >= 1 && message.irVersion <= IR_VERSION_MAX)) {
    throw new Error(
      `model file: expected an IR version from 1 to ${IR_VERSION_MAX}, got ${message.irVersion}; save the model again for an older version`,
    );
  }
  if (!message.graph)
    throw new Error('model file: expected a graph, found none; the file holds no ONNX model, or was cut off');
  if (message.opsets.length === 0)
    throw new Error('model file: expected an operator set version (opset_import), found none; export the model again');
  const opsets = Object.fromEntries(message.opsets.map(({ domain, version }) => [plainDomain(domain), version]));
  for (const [domain, version] of Object.entries(opsets)) {
    if (!(version >= 1))
      throw new Error(
        `model file: expected an opset version of 1 or more for "${domain || 'ai.onnx'}", got ${version}`,
      );
  }
  const externalFiles = new Set<string>();
  const graph = buildGraph(message.graph, { file: bytes, opsets, readExternal: options.readExternal, externalFiles });
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

function parse(bytes: Uint8Array): ModelMessage {
  if (bytes.length === 0) throw new Error('model file: expected an ONNX model, got an empty file');
  if (bytes.length > FILE_BYTES_MAX)
    throw new Error(`model file: expected at most ${FILE_BYTES_MAX} bytes, got ${bytes.length}`);
  const other = recogniseOther(bytes);
  if (other) throw new Error(`model file: expected an ONNX model, got ${other}`);
  try {
    return readFields<ModelMessage>(new Reader(bytes), bytes.length, modelFields, {
      irVersion: 0,
      producerName: '',
      producerVersion: '',
      opsets: [],
    });
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new Error(`model file: expected an ONNX model, but it cannot be read: ${reason}`, { cause });
  }
}
