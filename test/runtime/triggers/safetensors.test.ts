import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { type DataType, elementBytes, type Tensor } from '../../../runtime/engine/tensor.ts';
import { readSafetensors, writeSafetensors } from '../../../runtime/triggers/safetensors.ts';
import { randomFrom } from '../../random.ts';

/** Header length, header and data as the format lays them out. */
function fileOf(header: string, data: Uint8Array = new Uint8Array(0)): Uint8Array {
  const text = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + text.length + data.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(text.length), true);
  bytes.set(text, 8);
  bytes.set(data, 8 + text.length);
  return bytes;
}

/** From the reference implementation's tests (huggingface/safetensors, safetensors/src/tensor.rs). */
const published = `<\0\0\0\0\0\0\0{"test":{"dtype":"I32","shape":[2,2],"data_offsets":[0,16]}}${'\0'.repeat(16)}`;

test("the reference implementation's example is read", () => {
  const { tensors } = readSafetensors(Uint8Array.from(published, (character) => character.charCodeAt(0)));
  assert.equal(Object.keys(tensors), ['test']);
  assert.equal(tensors.test, { type: 'int32', dims: [2, 2], data: new Int32Array(4) });
});

test('a tensor is written byte for byte as the reference implementation writes it', () => {
  // test_serialization there: attn.0 with the values 0 to 5; the header is 64 bytes and needs no padding.
  const written = writeSafetensors({
    'attn.0': { type: 'float32', dims: [1, 2, 3], data: Float32Array.of(0, 1, 2, 3, 4, 5) },
  });
  const header = '{"attn.0":{"dtype":"F32","shape":[1,2,3],"data_offsets":[0,24]}}';
  assert.is(written[0], 64);
  assert.equal(written, fileOf(header, new Uint8Array(Float32Array.of(0, 1, 2, 3, 4, 5).buffer)));
});

test('what is written is read back, whatever the types, also from an odd address', () => {
  const seed = 7;
  const random = randomFrom(seed);
  const types: DataType[] = [
    'float64',
    'float32',
    'float16',
    'bfloat16',
    'int64',
    'int32',
    'int16',
    'int8',
    'uint64',
    'uint32',
    'uint16',
    'uint8',
    'bool',
  ];
  for (let round = 0; round < 100; round++) {
    const tensors: Record<string, Tensor> = {};
    for (const type of types.filter(() => random(2) === 0)) {
      const dims = Array.from({ length: random(4) }, () => random(4));
      const bytes = Uint8Array.from({ length: dims.reduce((a, b) => a * b, 1) * elementBytes(type) }, () => random(64));
      tensors[type] = readSafetensors(
        fileOf(`{"x":{"dtype":"${shortName(type)}","shape":[${dims}],"data_offsets":[0,${bytes.length}]}}`, bytes),
      ).tensors.x as Tensor;
    }
    const metadata: Record<string, string> = random(2) ? { node: 'a', note: 'ü' } : {};
    const written = writeSafetensors(tensors, metadata);
    const moved = new Uint8Array(written.length + 3).subarray(3);
    moved.set(written);
    const read = readSafetensors(moved);
    assert.equal({ ...read.tensors }, tensors, `seed ${seed}, round ${round}`);
    assert.equal(read.metadata, metadata);
  }
});

function shortName(type: DataType): string {
  if (type === 'bool') return 'BOOL';
  return type.replace('bfloat', 'BF').replace('float', 'F').replace('uint', 'U').replace('int', 'I');
}

test('broken files are refused with the reason', () => {
  const cases: [bytes: Uint8Array, sentence: RegExp][] = [
    [new Uint8Array(3), /expected at least 8 bytes, got 3/],
    [Uint8Array.of(60, 0, 0, 0, 0, 0xff, 0xff, 0xff), /expected a header of at most 0 bytes, got 1844/],
    [fileOf('{"a"'), /expected a header in JSON/],
    [fileOf('[1]'), /expected a JSON object as header/],
    [fileOf('{"a":{"dtype":"F9","shape":[],"data_offsets":[0,4]}}', new Uint8Array(4)), /tensor "a", dtype/],
    [
      fileOf('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}', new Uint8Array(4)),
      /tensor "a": expected 8 bytes/,
    ],
    [fileOf('{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}', new Uint8Array(4)), /tensor "a", shape.0/],
    [
      fileOf('{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', new Uint8Array(4)),
      /within 4, got offsets 0 to 8/,
    ],
    [
      fileOf('{"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', new Uint8Array(3)),
      /expected a tensor to begin at byte 0, got 1/,
    ],
    [
      fileOf('{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}', new Uint8Array(3)),
      /expected 2 bytes of data, got 3/,
    ],
    [
      fileOf(
        '{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}',
        new Uint8Array(3),
      ),
      /expected a tensor to begin at byte 2, got 1/,
    ],
    [fileOf('{"__metadata__":{"a":1}}'), /__metadata__: expected only text values/],
  ];
  for (const [bytes, sentence] of cases) assert.throws(() => readSafetensors(bytes), sentence, String(sentence));
});

test('damaged bytes are read or refused, never worse', () => {
  const seed = 99;
  const random = randomFrom(seed);
  const good = writeSafetensors({
    a: { type: 'float32', dims: [2, 3], data: new Float32Array(6) },
    b: { type: 'int8', dims: [5], data: new Int8Array(5) },
  });
  let refused = 0;
  for (let round = 0; round < 3000; round++) {
    const bytes = good.slice(0, random(4) ? good.length : random(good.length));
    for (let i = random(4); i >= 0 && bytes.length > 0; i--) bytes[random(bytes.length)] = random(256);
    try {
      readSafetensors(bytes);
    } catch (error) {
      assert.match((error as Error).message, /^safetensors: /, `seed ${seed}, round ${round}`);
      refused++;
    }
  }
  assert.ok(refused > 1000, `refused only ${refused}`);
});

test.run();
