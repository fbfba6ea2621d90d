/** The process behind `probeGpu`: one matrix product on the GPU and on the CPU. */
import type * as Ort from 'onnxruntime-common';
import { PbfWriter } from 'pbf';

export type ProbeReport =
  | { readonly kind: 'missing' }
  | { readonly kind: 'failed'; readonly message: string }
  | { readonly kind: 'measured'; readonly gpuMs: number; readonly cpuMs: number; readonly difference: number };

const SIZE = 1024;
const RUNS = 3;

/** An ONNX file with one MatMul of two [SIZE, SIZE] matrices. Field numbers: onnx.proto3. */
function matMulModel(): Uint8Array {
  const value = (name: string, out: PbfWriter): void => {
    out.writeStringField(1, name);
    out.writeMessage(2, (_, type) => type.writeMessage(1, writeTensorType, undefined), undefined);
  };
  const model = new PbfWriter();
  model.writeVarintField(1, 8);
  model.writeMessage(8, (version: number, opset) => opset.writeVarintField(2, version), 17);
  model.writeMessage(
    7,
    (_, graph) => {
      graph.writeMessage(1, writeMatMul, undefined);
      graph.writeStringField(2, 'probe');
      for (const name of ['a', 'b']) graph.writeMessage(11, value, name);
      graph.writeMessage(12, value, 'c');
    },
    undefined,
  );
  return model.finish();
}

function writeMatMul(_: unknown, node: PbfWriter): void {
  for (const name of ['a', 'b']) node.writeStringField(1, name);
  node.writeStringField(2, 'c');
  node.writeStringField(4, 'MatMul');
}

function writeTensorType(_: unknown, type: PbfWriter): void {
  type.writeVarintField(1, 1);
  type.writeMessage(
    2,
    (_shape, out) => {
      for (let axis = 0; axis < 2; axis++)
        out.writeMessage(1, (size: number, dim) => dim.writeVarintField(1, size), SIZE);
    },
    undefined,
  );
}

/** Fixed, never constant numbers between −1 and 1. */
function matrix(seed: number): Float32Array {
  let state = seed;
  return Float32Array.from({ length: SIZE * SIZE }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

async function measure(
  ort: typeof Ort,
  provider: Ort.InferenceSession.ExecutionProviderConfig,
): Promise<{ ms: number; result: Float32Array }> {
  const session = await ort.InferenceSession.create(matMulModel(), { executionProviders: [provider] });
  const feeds = {
    a: new ort.Tensor('float32', matrix(1), [SIZE, SIZE]),
    b: new ort.Tensor('float32', matrix(2), [SIZE, SIZE]),
  };
  let ms = Number.POSITIVE_INFINITY;
  let result = new Float32Array();
  for (let run = 0; run <= RUNS; run++) {
    const start = performance.now();
    const { c } = await session.run(feeds);
    result = c?.data as Float32Array<ArrayBuffer>;
    // The first run compiles shaders.
    if (run > 0) ms = Math.min(ms, performance.now() - start);
  }
  return { ms, result };
}

async function probe(): Promise<ProbeReport> {
  let ort: typeof Ort;
  try {
    // Not a dependency of ours: 288 MB that only a machine with a GPU needs.
    const name = 'onnxruntime-node';
    ort = await import(name);
  } catch {
    return { kind: 'missing' };
  }
  // A stand-in without native code may carry the name (package.json, overrides).
  if (!('listSupportedBackends' in ort)) return { kind: 'missing' };
  try {
    // One provider, and NCHW: the default layout computes some convolutions wrongly (microsoft/onnxruntime#29651 looks alike).
    const gpu = await measure(ort, { name: 'webgpu', preferredLayout: 'NCHW' });
    const cpu = await measure(ort, 'cpu');
    const largest = cpu.result.reduce((max, value) => Math.max(max, Math.abs(value)), 0);
    const difference = cpu.result.reduce(
      (max, value, i) => Math.max(max, Math.abs(value - (gpu.result[i] ?? Number.NaN))),
      0,
    );
    return { kind: 'measured', gpuMs: gpu.ms, cpuMs: cpu.ms, difference: difference / largest };
  } catch (error) {
    return { kind: 'failed', message: error instanceof Error ? error.message : String(error) };
  }
}

process.send?.(await probe(), () => process.exit(0));
