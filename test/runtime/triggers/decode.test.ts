import { readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { createDecoder, type Decoded, MESSAGE_BYTES_MAX } from '../../../runtime/triggers/decode.ts';
import { writeSafetensors } from '../../../runtime/triggers/safetensors.ts';
import { type Decode, triggerSchema } from '../../../runtime/triggers/schema.ts';
import { randomFrom } from '../../random.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';
import { encodePng } from '../media/write-png.ts';

/** The decoder of a trigger with this `decode`, defaults filled in. */
function decoder(decode: object) {
  const trigger = {
    name: 't',
    topic: 'a',
    decode,
    stages: [{ name: 's', model: 'm', post: { step: 'raw' } }],
    output: { topic: 'b' },
  };
  return createDecoder(triggerSchema.parse(trigger).decode as Decode);
}

async function decode(how: object, payload: Uint8Array | string): Promise<Decoded> {
  return decoder(how)(typeof payload === 'string' ? new TextEncoder().encode(payload) : payload);
}

async function refusal(how: object, payload: Uint8Array | string): Promise<string> {
  try {
    await decode(how, payload);
  } catch (error) {
    return (error as Error).message;
  }
  return 'no error';
}

function numbersOf({ content }: Decoded): { type: string; dims: readonly number[]; values: number[] } {
  if (content.kind !== 'numbers') throw new Error(`expected numbers, got ${content.kind}`);
  return {
    type: content.tensor.type,
    dims: content.tensor.dims,
    values: Array.from(content.tensor.data as Float32Array, Number),
  };
}

/** RIFF/WAVE with 16-bit samples of one channel. */
function wavFile(samples: readonly number[], rate: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(44 + samples.length * 2));
  const tag = (at: number, text: string) =>
    [...text].forEach((character, i) => void view.setUint8(at + i, character.charCodeAt(0)));
  tag(0, 'RIFF');
  view.setUint32(4, 36 + samples.length * 2, true);
  tag(8, 'WAVEfmt ');
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, rate * 2, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  tag(36, 'data');
  view.setUint32(40, samples.length * 2, true);
  for (const [i, sample] of samples.entries()) view.setInt16(44 + i * 2, sample, true);
  return new Uint8Array(view.buffer);
}

/** RFC 9535, figure 1: the store that its examples ask about, prices only. */
const store = JSON.stringify({
  store: {
    book: [{ price: 8.95, isbn: 1 }, { price: 12.99 }, { price: 8.99 }, { price: 22.99 }],
    bicycle: { price: 399 },
  },
});

test('numbers are found in JSON by the paths of RFC 9535', async () => {
  const cases: [values: string | string[], expected: number[]][] = [
    ['$.store.book[*].price', [8.95, 12.99, 8.99, 22.99]],
    ['$.store..price', [399, 8.95, 12.99, 8.99, 22.99]],
    ['$..book[-1].price', [22.99]],
    ['$..book[?@.price<10].price', [8.95, 8.99]],
    ['$..book[0,1].price', [8.95, 12.99]],
    [
      ['$.store.bicycle.price', '$.store.book[0].price'],
      [399, 8.95],
    ],
  ];
  for (const [values, expected] of cases) {
    const { type, values: found } = numbersOf(await decode({ format: 'json', values }, store));
    assert.is(type, 'float64');
    // RFC 9535, 2.5.2.2 leaves the order of an object's members open.
    assert.equal(found.toSorted(), expected.toSorted(), String(values));
  }
});

test('JSON arrays keep their shape, and the message gives its id', async () => {
  const message = '{"id":"a-1","grid":[[1,2,3],[4,5,6]]}';
  const decoded = await decode({ format: 'json', values: '$.grid', id: '$.id' }, message);
  assert.equal(numbersOf(decoded), { type: 'float64', dims: [2, 3], values: [1, 2, 3, 4, 5, 6] });
  assert.is(decoded.id, 'a-1');
  assert.equal(decoded.body, JSON.parse(message));
  assert.equal(numbersOf(await decode({ format: 'json', values: '$.grid', dims: [3, -1] }, message)).dims, [3, 2]);
});

test('raw numbers of every type are read little-endian, from any address', async () => {
  const view = new DataView(new ArrayBuffer(17));
  const cases: [type: string, write: (value: number) => void, value: number, bytes: number][] = [
    ['int8', (v) => view.setInt8(1, v), -5, 1],
    ['uint8', (v) => view.setUint8(1, v), 250, 1],
    ['int16', (v) => view.setInt16(1, v, true), -1234, 2],
    ['uint16', (v) => view.setUint16(1, v, true), 65000, 2],
    ['int32', (v) => view.setInt32(1, v, true), -70000, 4],
    ['uint32', (v) => view.setUint32(1, v, true), 4e9, 4],
    ['int64', (v) => view.setBigInt64(1, BigInt(v), true), -(2 ** 40), 8],
    ['uint64', (v) => view.setBigUint64(1, BigInt(v), true), 2 ** 41, 8],
    ['float32', (v) => view.setFloat32(1, v, true), 0.5, 4],
    ['float64', (v) => view.setFloat64(1, v, true), 0.1, 8],
  ];
  for (const [type, write, value, bytes] of cases) {
    write(value);
    const payload = new Uint8Array(view.buffer, 1, bytes);
    assert.equal(numbersOf(await decode({ format: 'raw', type }, payload)), { type, dims: [1], values: [value] }, type);
    const scaled = numbersOf(await decode({ format: 'raw', type, scale: 2 }, payload));
    assert.equal(scaled.values, [value * 2], type);
  }
  assert.equal(
    numbersOf(await decode({ format: 'raw', type: 'int16', dims: [-1, 2] }, new Uint8Array(12))).dims,
    [3, 2],
  );
});

test('sound comes as a WAV file or as raw samples, from −1 to 1', async () => {
  const samples = [0, 16384, -32768, 8192];
  const expected = { type: 'float32', dims: [4], values: [0, 0.5, -1, 0.25] };
  const audio = { format: 'audio', rate: 16000, raw: 'int16' };
  assert.equal(numbersOf(await decode(audio, wavFile(samples, 16000))), expected);
  assert.equal(numbersOf(await decode(audio, new Uint8Array(Int16Array.from(samples).buffer))), expected);
  assert.equal(numbersOf(await decode({ ...audio, raw: 'uint8' }, Uint8Array.of(128, 192, 0, 160))), expected);
  assert.equal(numbersOf(await decode(audio, wavFile(new Array(480).fill(0), 48000))).dims, [160]);
});

test('CSV columns are taken by position, by a given name, or by the name in the first line', async () => {
  const row = '2026-11-23T10:00, 21.5, 40';
  assert.equal(numbersOf(await decode({ format: 'csv', columns: [1, 2] }, row)), {
    type: 'float64',
    dims: [1, 2],
    values: [21.5, 40],
  });
  const named = await decode(
    { format: 'csv', columns: ['humidity'], header: ['time', 'temperature', 'humidity'], id: 'time' },
    `${row}\n${row}\n`,
  );
  assert.equal(numbersOf(named), { type: 'float64', dims: [2], values: [40, 40] });
  assert.is(named.id, '2026-11-23T10:00');
  const headed = await decode(
    { format: 'csv', columns: ['b', 'a'], header: true, delimiter: ';' },
    '"a";b\r\n1;-2e1\r\n',
  );
  assert.equal(numbersOf(headed).values, [-20, 1]);
});

test('pictures and tensors are read', async () => {
  const png = encodePng({ width: 2, height: 1, channels: 3, data: Uint8Array.of(1, 2, 3, 4, 5, 6) });
  const { content } = await decode({ format: 'image' }, png);
  assert.ok(content.kind === 'image');
  assert.equal([content.image.width, content.image.height, [...content.image.data]], [2, 1, [1, 2, 3, 4, 5, 6]]);
  const tensors = { x: { type: 'float32', dims: [2], data: Float32Array.of(1, 2) } } as const;
  const read = await decode({ format: 'tensors' }, writeSafetensors(tensors));
  assert.ok(read.content.kind === 'tensors');
  assert.equal(read.content.tensors.x, tensors.x);
});

test('what cannot be decoded is refused with what was expected and what came', async () => {
  const pcm = { format: 'audio', rate: 16000, raw: 'int16' };
  const json = { format: 'json', values: '$.v' };
  const cases: [how: object, payload: Uint8Array | string, sentence: string][] = [
    [
      pcm,
      '{"samples":[1,2]}',
      'message: expected raw int16 numbers, got JSON; send bytes, or set decode.format to "json"',
    ],
    [pcm, '[1,2,3]\n', 'message: expected raw int16 numbers, got JSON; send bytes, or set decode.format to "json"'],
    [pcm, new Uint8Array(3), 'message: expected a multiple of 2 bytes (int16), got 3'],
    [pcm, '', 'message: expected audio, got an empty message'],
    [{ format: 'audio', rate: 16000 }, 'hello', 'audio: expected a WAV file, got 5 other bytes'],
    [
      { format: 'audio', rate: 16000 },
      wavFile([1, 2], 249),
      'audio: expected a WAV file of at least 250 Hz, got 249 Hz',
    ],
    [
      { ...pcm, raw: 'float32' },
      new Uint8Array(Float32Array.of(Number.NaN).buffer),
      'audio: expected finite samples, got NaN or infinity',
    ],
    [
      { format: 'raw', type: 'float32', dims: [2, 2] },
      new Uint8Array(12),
      'raw: expected elements for dims [2, 2], got 3 of [3]',
    ],
    [json, '{"v":', 'json: expected JSON, got "{"v":": Unexpected end of JSON input'],
    [json, '{}', 'json: expected numbers at $.v, found nothing there'],
    [json, '{"v":"warm"}', 'json: expected numbers at $.v, got "warm"'],
    [json, '{"v":[1,null]}', 'json: expected numbers at $.v, got null'],
    [json, Uint8Array.of(0xff, 0xfe), 'json: expected text in UTF-8, got other bytes'],
    [{ ...json, id: '$.id' }, '{"v":1}', 'message id: expected text or a number at $.id, got nothing'],
    [{ format: 'csv', columns: [3] }, '1,2', 'csv: row 1, column 3: expected a number, got nothing'],
    [{ format: 'csv', columns: [1] }, '1,warm', 'csv: row 1, column 1: expected a number, got "warm"'],
    [{ format: 'csv', columns: ['x'], header: true }, 'a,b\n1,2', 'csv: expected a column "x", the header has a, b'],
    [{ format: 'csv', columns: ['a'], header: true }, 'a,b\n', 'csv: expected at least one row of values, got none'],
    [{ format: 'image' }, 'GIF89a', 'image: expected a JPEG or PNG file, got 6 bytes that begin with "47494638"'],
    [{ format: 'tensors' }, 'no', 'safetensors: expected at least 8 bytes, got 2'],
  ];
  for (const [how, payload, sentence] of cases) assert.is(await refusal(how, payload), sentence);
  const deep = `{"v":${'['.repeat(200_000)}${']'.repeat(200_000)}}`;
  assert.is(await refusal(json, deep), 'json: expected lists at most 8 levels deep at $.v');
  assert.match(await refusal({ ...json, values: '$..v' }, deep), /^json: /);
  assert.match(await refusal(pcm, wavFile([1, 2, 3], 16000).subarray(0, 47)), /^wav: expected 6 bytes of sound/);
  assert.match(await refusal({ format: 'csv', columns: [0] }, '"1,2'), /^csv: Quote Not Closed/);
});

test('a message of 200 MB is refused before it is looked at', async () => {
  const sentence = `message: expected at most ${MESSAGE_BYTES_MAX.toLocaleString('en')} bytes, got 200,000,000; send it in parts or by reference`;
  const large = new Uint8Array(200_000_000);
  for (const how of [
    { format: 'image' },
    { format: 'json', values: '$' },
    { format: 'audio', rate: 16000, raw: 'int16' },
  ]) {
    assert.is(await refusal(how, large), sentence);
  }
});

testWhere(
  test,
  needsSharedData.met,
  needsSharedData.needs,
)('a JPEG cut in half is refused', async () => {
  const jpeg = readFileSync(`${sharedData}datasets/images/cat.jpg`);
  assert.is((await decode({ format: 'image' }, jpeg)).content.kind, 'image');
  assert.match(await refusal({ format: 'image' }, jpeg.subarray(0, jpeg.length / 2)), /^image: expected a whole JPEG/);
});

test('random and damaged messages are decoded or refused, never worse', async () => {
  const seed = 4711;
  const random = randomFrom(seed);
  const png = encodePng({ width: 5, height: 4, channels: 3, data: new Uint8Array(60).fill(77) });
  const seeds: [how: object, good: Uint8Array][] = [
    [{ format: 'json', values: '$..v' }, new TextEncoder().encode('{"v":[1,2,{"v":3}],"w":{"v":1e3}}')],
    [{ format: 'audio', rate: 16000, raw: 'int16' }, wavFile([1, 2, 3, 4, 5], 16000)],
    [{ format: 'csv', columns: [0, 1], header: true }, new TextEncoder().encode('0,1\n3,4\n')],
    [{ format: 'image' }, png],
    [{ format: 'tensors' }, writeSafetensors({ x: { type: 'int16', dims: [3], data: Int16Array.of(1, 2, 3) } })],
  ];
  let refused = 0;
  let decoded = 0;
  for (const [how, good] of seeds) {
    const run = decoder(how);
    for (let round = 0; round < 400; round++) {
      const bytes = good.slice(0, random(3) ? good.length : random(good.length));
      for (let i = random(5); i > 0 && bytes.length > 0; i--) bytes[random(bytes.length)] = random(256);
      try {
        await run(bytes);
        decoded++;
      } catch (error) {
        assert.instance(error, Error, `seed ${seed}`);
        assert.match((error as Error).message, /^(message|json|wav|audio|csv|image|safetensors)[: ]/, `seed ${seed}`);
        refused++;
      }
    }
  }
  assert.is(decoded + refused, 2000);
  assert.ok(refused > 400 && decoded > 100, `refused ${refused}, decoded ${decoded}`);
});

test('a payload in the middle of a pooled Buffer, as MQTT delivers it, is read alone', async () => {
  const pool = Buffer.from([9, 9, 9, 1, 0, 2, 0, 9, 9]);
  const alone = await decode({ format: 'raw', type: 'int16' }, Buffer.from([1, 0, 2, 0]));
  assert.equal(await decode({ format: 'raw', type: 'int16' }, pool.subarray(3, 7)), alone);
});

test.run();
