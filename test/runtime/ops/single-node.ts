/** Models of one node, run by our kernels and by onnxruntime. */
import * as ort from 'onnxruntime-web';
import * as assert from 'uvu/assert';
import { type AttributeSpec, writeModel } from '../../../bench/write-model.ts';
import { elementCount, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import type { Random } from '../../random.ts';
import { TestModel } from '../compile/run-program.ts';
import { rawTensor, typeCodes } from '../onnx/attributes.ts';

ort.env.wasm.numThreads = 1;
ort.env.logLevel = 'error';

export interface SingleNode {
  readonly operator: string;
  readonly domain: string;
  /** Of the node's domain. */
  readonly version: number;
  readonly attributes?: readonly AttributeSpec[];
  /** In order; `undefined` is an absent optional one. */
  readonly inputs: readonly (Tensor | undefined)[];
  /** Places of inputs that the file holds as weights. */
  readonly weights?: readonly number[];
  /** Types of the outputs; '' is one that is left out. */
  readonly outputs: readonly string[];
}

export function bytesOf(node: SingleNode): Uint8Array {
  const inputs = node.inputs.map((tensor, i) => (tensor ? `x${i}` : ''));
  const isWeight = (i: number): boolean => node.weights?.includes(i) ?? false;
  const named = node.inputs.flatMap((tensor, i) => (tensor ? [{ name: `x${i}`, tensor, i }] : []));
  const outputs = node.outputs.map((type, i) => (type ? `y${i}` : ''));
  return writeModel({
    opsets: { '': 17, [node.domain]: node.version },
    graph: {
      nodes: [{ operator: node.operator, domain: node.domain, inputs, outputs, attributes: node.attributes }],
      inputs: named
        .filter(({ i }) => !isWeight(i))
        .map(({ name, tensor }) => ({ name, type: typeCodes[tensor.type] as number, dims: tensor.dims })),
      initializers: named.filter(({ i }) => isWeight(i)).map(({ name, tensor }) => rawTensor(name, tensor)),
      outputs: node.outputs.flatMap((type, i) => (type ? [{ name: `y${i}`, type: typeCodes[type] as number }] : [])),
    },
  });
}

function feedsOf(node: SingleNode): Record<string, Tensor> {
  const feeds = node.inputs.flatMap((tensor, i) => (tensor && !node.weights?.includes(i) ? [[`x${i}`, tensor]] : []));
  return Object.fromEntries(feeds);
}

export async function runOnnxruntime(bytes: Uint8Array, feeds: Readonly<Record<string, Tensor>>) {
  const options = { executionProviders: ['wasm'], logSeverityLevel: 3, graphOptimizationLevel: 'disabled' } as const;
  const session = await ort.InferenceSession.create(bytes, options);
  const tensors = Object.entries(feeds).map(([name, { type, data, dims }]) => [
    name,
    new ort.Tensor(type as 'float32', data as Float32Array, dims),
  ]);
  try {
    return await session.run(Object.fromEntries(tensors));
  } finally {
    await session.release();
  }
}

/** Asserts that both engines give the same outputs, within `tolerance` (of floats above 1, in proportion); returns how many were compared. */
export async function agrees(node: SingleNode, tolerance: number): Promise<number> {
  const bytes = bytesOf(node);
  const feeds = feedsOf(node);
  const wanted = await runOnnxruntime(bytes, feeds);
  const got = new TestModel(readModel(bytes)).run(feeds);
  const shown = `${node.operator} ${JSON.stringify(node.inputs.map((each) => each && [each.type, each.dims]))}`;
  let seen = 0;
  for (const [i, type] of node.outputs.entries()) {
    if (!type) continue;
    const [ours, theirs] = [got[`y${i}`], wanted[`y${i}`]];
    assert.ok(ours && theirs, `${shown}: output ${i} is missing`);
    assert.is(ours.type, type, `${shown}: output ${i}`);
    assert.equal([...ours.dims], [...theirs.dims], `${shown}: output ${i}`);
    const expected = theirs.data as ArrayLike<number | bigint>;
    const isFloat = type.startsWith('float');
    for (let at = 0; at < expected.length; at++) {
      const [a, b] = [Number(ours.data[at]), Number(expected[at])];
      const fits =
        Object.is(a, b) || a === b || Math.abs(a - b) <= tolerance * (isFloat ? Math.max(1, Math.abs(b)) : 1);
      assert.ok(fits, `${shown}, output ${i}, element ${at}: ${a} for ${b}`);
      seen++;
    }
  }
  return seen;
}

export function float32(dims: readonly number[], make: (index: number) => number): Tensor {
  return { type: 'float32', dims, data: Float32Array.from({ length: elementCount(dims) }, (_, i) => make(i)) };
}

export function randomFloats(random: Random, dims: readonly number[], size = 1): Tensor {
  return float32(dims, () => (random.next() * 2 - 1) * size);
}
