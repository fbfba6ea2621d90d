/**
 * Reads numpy's .npz: a ZIP archive of .npy files, stored or deflated.
 * Sources: APPNOTE.TXT 4.3 (ZIP); numpy.lib.format (NPY versions 1 to 3).
 */
import { inflateRawSync } from 'node:zlib';
import { arrayOf, type DataType, elementBytes, elementCount, type Tensor } from '../../runtime/engine/tensor.ts';

const CENTRAL_ENTRY = 0x02014b50;
const END_OF_DIRECTORY = 0x06054b50;

/** The tensors of an archive by name, without `.npy`. */
export function readNpz(bytes: Buffer): Map<string, Tensor> {
  const end = bytes.lastIndexOf(Buffer.from(Uint32Array.of(END_OF_DIRECTORY).buffer));
  if (end < 0) throw new Error('expected a ZIP archive, found no directory at its end');
  const tensors = new Map<string, Tensor>();
  let at = bytes.readUInt32LE(end + 16);
  while (bytes.readUInt32LE(at) === CENTRAL_ENTRY) {
    const [method, size] = [bytes.readUInt16LE(at + 10), bytes.readUInt32LE(at + 20)];
    const [nameLength, extra, comment] = [28, 30, 32].map((offset) => bytes.readUInt16LE(at + offset)) as Triple;
    const name = bytes.toString('utf8', at + 46, at + 46 + nameLength);
    const local = bytes.readUInt32LE(at + 42);
    const start = local + 30 + bytes.readUInt16LE(local + 26) + bytes.readUInt16LE(local + 28);
    const packed = bytes.subarray(start, start + size);
    tensors.set(name.replace(/\.npy$/, ''), readNpy(method === 0 ? packed : inflateRawSync(packed)));
    at += 46 + nameLength + extra + comment;
  }
  return tensors;
}

type Triple = [number, number, number];

const types: Readonly<Record<string, DataType>> = {
  '<f4': 'float32',
  '<f8': 'float64',
  '<i4': 'int32',
  '<i8': 'int64',
  '|i1': 'int8',
  '|u1': 'uint8',
  '|b1': 'bool',
};

function readNpy(bytes: Buffer): Tensor {
  if (bytes.toString('latin1', 1, 6) !== 'NUMPY') throw new Error('expected an .npy file, found something else');
  const wide = bytes.readUInt8(6) > 1;
  const start = wide ? 12 : 10;
  const body = start + (wide ? bytes.readUInt32LE(8) : bytes.readUInt16LE(8));
  const header = bytes.toString('latin1', start, body);
  const code = /'descr': '([^']+)'/.exec(header)?.[1] ?? '';
  const type = types[code];
  const shape = /'shape': \(([^)]*)\)/.exec(header)?.[1];
  if (!type || shape === undefined || !header.includes("'fortran_order': False"))
    throw new Error(`expected a plain array in rows, got ${header.trim()}`);
  const dims = shape.split(',').filter((size) => size.trim() !== '');
  const sizes = dims.map(Number);
  const data = bytes.subarray(body, body + elementCount(sizes) * elementBytes(type));
  return { type, dims: sizes, data: new (arrayOf(type))(Uint8Array.from(data).buffer) };
}
