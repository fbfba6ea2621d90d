/**
 * What loading a large model takes: the peak of resident memory beyond that of an engine without models, as a share of the
 * packed weights, for a file that is read in parts and for one that is read whole first.
 *   npm run loading [-- --megabytes 500]
 */
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { PbfWriter } from 'pbf';
import { createEngine } from '../runtime/engine/engine.ts';
import { fileSource } from '../runtime/onnx/file-io.ts';

/** Rows and columns of each of the chain's matrices, 16 MiB of float32. */
const SIZE = 2048;

const { values } = parseArgs({
  options: { megabytes: { type: 'string', default: '500' }, file: { type: 'string' }, whole: { type: 'boolean' } },
});

function field(tag: number, write: (writer: PbfWriter) => void): Uint8Array {
  const writer = new PbfWriter();
  writer.writeMessage(tag, (_, inner) => write(inner), undefined);
  return writer.finish();
}

function valueField(tag: number, name: string): Uint8Array {
  return field(tag, (value) => {
    value.writeStringField(1, name);
    value.writeMessage(2, (_, type) => type.writeMessage(1, writeTensorType, undefined), undefined);
  });
}

function writeTensorType(_: undefined, type: PbfWriter): void {
  type.writeVarintField(1, 1);
  const dims = [1, SIZE];
  type.writeMessage(
    2,
    (__, shape) => {
      for (const dim of dims) shape.writeMessage(1, (___, entry) => entry.writeVarintField(1, dim), undefined);
    },
    undefined,
  );
}

/** Writes a chain of matrix products, matrix by matrix. Field numbers: onnx.proto3. */
function writeChain(path: string, layers: number): void {
  const weights = Float32Array.from({ length: SIZE * SIZE }, (_, i) => (((i * 7919) % 1000) - 500) / 1e5);
  const raw = new Uint8Array(weights.buffer);
  const tensors = Array.from({ length: layers }, (_, i) =>
    field(5, (tensor) => {
      for (const dim of [SIZE, SIZE]) tensor.writeVarintField(1, dim);
      tensor.writeVarintField(2, 1);
      tensor.writeStringField(8, `w${i}`);
      tensor.writeTag(9, 2);
      tensor.writeVarint(raw.length);
    }),
  );
  const nodes = Array.from({ length: layers }, (_, i) =>
    field(1, (node) => {
      for (const name of [`x${i}`, `w${i}`]) node.writeStringField(1, name);
      node.writeStringField(2, `x${i + 1}`);
      node.writeStringField(4, 'MatMul');
    }),
  );
  // The writer closed each tensor before its data: its length is written anew.
  const headers = tensors.map((bytes) => withLength(bytes, raw.length));
  const ends = [...nodes, valueField(11, 'x0'), valueField(12, `x${layers}`)];
  const graphBytes = [...headers, ...ends].reduce((sum, { length }) => sum + length, layers * raw.length);
  const model = new PbfWriter();
  model.writeVarintField(1, 8);
  model.writeMessage(8, (_, opset) => opset.writeVarintField(2, 17), undefined);
  model.writeTag(7, 2);
  model.writeVarint(graphBytes);
  const file = openSync(path, 'w');
  writeSync(file, model.finish());
  for (const header of headers) {
    writeSync(file, header);
    writeSync(file, raw);
  }
  for (const each of ends) writeSync(file, each);
  closeSync(file);
}

/** A length-delimited field whose value goes on for `more` bytes. */
function withLength(bytes: Uint8Array, more: number): Uint8Array {
  // One byte of tag, one of length: the header alone is short.
  const body = bytes.subarray(2);
  const writer = new PbfWriter();
  writer.writeTag(5, 2);
  writer.writeVarint(body.length + more);
  return new Uint8Array([...writer.finish(), ...body]);
}

const peakBytes = (): number => process.resourceUsage().maxRSS * 1024;

async function loadAlone(path: string, whole: boolean): Promise<void> {
  const engine = await createEngine();
  const idle = peakBytes();
  await engine.load(whole ? new Uint8Array(readFileSync(path)) : fileSource(path), { name: 'chain' });
  console.log(JSON.stringify({ beyond: peakBytes() - idle, packed: engine.info.memoryUsedBytes }));
  await engine.close();
}

function measure(path: string, whole: boolean): string {
  const script = fileURLToPath(import.meta.url);
  const output = execFileSync(process.execPath, [script, '--file', path, ...(whole ? ['--whole'] : [])], {
    encoding: 'utf8',
  });
  const { beyond, packed } = JSON.parse(output) as { beyond: number; packed: number };
  return `${(beyond / 1e6).toFixed(0)} MB at most beside the engine, ${(beyond / packed).toFixed(2)} of the packed weights (${(packed / 1e6).toFixed(0)} MB)`;
}

if (values.file) await loadAlone(values.file, values.whole ?? false);
else {
  const folder = mkdtempSync(join(tmpdir(), 'llmasos-loading-'));
  try {
    const path = join(folder, 'chain.onnx');
    writeChain(path, Math.max(1, Math.round((Number(values.megabytes) * 1e6) / (SIZE * SIZE * 4))));
    console.log(`read in parts: ${measure(path, false)}`);
    console.log(`read whole:    ${measure(path, true)}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
