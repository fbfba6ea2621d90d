import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeWav, isWav } from '../../../runtime/media/wav.ts';
import { randomFrom } from '../../random.ts';
import { needsSharedData, sharedData, testWhere } from '../../requirement.ts';

function chunk(name: string, body: Uint8Array, size = body.length): Uint8Array {
  const bytes = Buffer.alloc(8 + body.length + (body.length & 1));
  bytes.write(name, 'latin1');
  bytes.writeUInt32LE(size, 4);
  bytes.set(body, 8);
  return bytes;
}

function format(codec: number, channels: number, rate: number, bits: number, extension = Buffer.alloc(0)): Uint8Array {
  const body = Buffer.alloc(16);
  body.writeUInt16LE(codec, 0);
  body.writeUInt16LE(channels, 2);
  body.writeUInt32LE(rate, 4);
  body.writeUInt32LE((rate * channels * bits) / 8, 8);
  body.writeUInt16LE((channels * bits) / 8, 12);
  body.writeUInt16LE(bits, 14);
  return chunk('fmt ', Buffer.concat([body, extension]));
}

function wav(...chunks: Uint8Array[]): Uint8Array {
  const body = Buffer.concat([Buffer.from('WAVE'), ...chunks]);
  return chunk('RIFF', body);
}

test('every sample format reads as a number from −1 to 1', () => {
  const cases: [codec: number, bits: number, hex: string, expected: number[]][] = [
    [1, 8, '0080c0ff', [-1, 0, 0.5, 127 / 128]],
    [1, 16, '008000000040ff7f', [-1, 0, 0.5, 32767 / 32768]],
    [1, 24, '000080000000000040ffff7fffffff', [-1, 0, 0.5, 8388607 / 8388608, -1 / 8388608]],
    [1, 32, '000000800000000000000040', [-1, 0, 0.5]],
    [3, 32, '000080bf000000000000003f', [-1, 0, 0.5]],
  ];
  for (const [codec, bits, hex, expected] of cases) {
    const sound = decodeWav(wav(format(codec, 1, 16_000, bits), chunk('data', Buffer.from(hex, 'hex'))));
    assert.is(sound.rate, 16_000);
    assert.equal([...sound.samples], expected, `codec ${codec}, ${bits} bits`);
  }
});

test('channels are averaged into one', () => {
  const stereo = Buffer.from('0040004000400000', 'hex');
  assert.equal([...decodeWav(wav(format(1, 2, 44_100, 16), chunk('data', stereo))).samples], [0.5, 0.25]);
});

test('the extensible format, odd chunks before the data and a size left open by a streaming recorder are read', () => {
  const extension = Buffer.from('160010000000000001000000000010008000 00aa00389b71'.replace(' ', ''), 'hex');
  const data = Buffer.from('00400000', 'hex');
  assert.equal(
    [
      ...decodeWav(wav(format(0xfffe, 1, 8000, 16, extension), chunk('LIST', Buffer.from('abc')), chunk('data', data)))
        .samples,
    ],
    [0.5, 0],
  );
  assert.is(decodeWav(wav(format(1, 1, 8000, 16), chunk('data', data, 0xffffffff))).samples.length, 2);
});

test('what is not WAV, not PCM or not whole is refused with what came', () => {
  const data = chunk('data', Buffer.alloc(8));
  const refusals: [Uint8Array, RegExp][] = [
    [Buffer.from('{"a":1}'), /^wav: expected a RIFF\/WAVE file, got 7 bytes that begin with "7b226122"/],
    [wav(data), /"fmt " chunk before the data, got none/],
    [wav(format(1, 1, 8000, 16)), /expected a "data" chunk, the file ends without one/],
    [wav(format(85, 1, 8000, 16), data), /PCM or float samples, got codec 85 \(MP3\)/],
    [wav(format(1, 1, 8000, 12), data), /8, 16, 24, 32 bits a sample for codec 1, got 12/],
    [wav(format(1, 0, 8000, 16), data), /1 to 64 channels, got 0/],
    [wav(format(1, 1, 0, 16), data), /sample rate of 1 to 768000 Hz, got 0/],
    [
      wav(format(1, 1, 8000, 16), chunk('data', Buffer.alloc(8), 1000)),
      /expected 1,000 bytes of sound, the file ends after 8/,
    ],
    [
      wav(format(3, 1, 8000, 32), chunk('data', Buffer.from('0000c07f', 'hex'))),
      /expected numbers as samples, got NaN at 0/,
    ],
    [wav(format(1, 1, 8000, 8), chunk('data', Buffer.alloc(28_800_001))), /at most 28,800,000 samples, got 28,800,001/],
  ];
  for (const [bytes, expected] of refusals) assert.throws(() => decodeWav(bytes), expected);
});

test('a seeded storm of damaged files gives sound or clear errors', () => {
  const seed = 77;
  const next = randomFrom(seed);
  const sound = wav(format(1, 2, 16_000, 16), chunk('data', Buffer.alloc(64)));
  let [read, refused] = [0, 0];
  for (let round = 0; round < 3000; round++) {
    const bytes = Uint8Array.from(sound);
    for (let edits = next(4); edits >= 0; edits--) bytes[next(bytes.length)] = next(256);
    try {
      decodeWav(bytes.subarray(0, next(3) ? bytes.length : next(bytes.length)));
      read++;
    } catch (error) {
      assert.match((error as Error).message, /^wav: expected /, `seed ${seed}, round ${round}`);
      refused++;
    }
  }
  console.log(`seed ${seed}: ${read} read, ${refused} refused`);
  assert.ok(read > 300 && refused > 300);
});

testWhere(
  test,
  needsSharedData.met,
  needsSharedData.needs,
)('real recordings of several makers are read', () => {
  const folder = `${sharedData}datasets/audio/`;
  let seen = 0;
  for (const name of readdirSync(folder).filter((file) => file.endsWith('.wav'))) {
    const bytes = readFileSync(folder + name);
    assert.ok(isWav(bytes), name);
    const { rate, samples } = decodeWav(bytes);
    assert.is(rate, 16_000, name);
    assert.ok(samples.every((sample) => Math.abs(sample) <= 1) && samples.length > 8000, name);
    seen++;
  }
  assert.ok(seen >= 10, `saw only ${seen} files`);
});

test.run();
