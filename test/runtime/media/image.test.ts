import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { decodeImage, type Image, PIXELS_MAX } from '../../../runtime/media/image.ts';
import { randomFrom } from '../../random.ts';
import { encodeJpeg, gradient, largestDifference, noise, pixel, withOrientation } from './pictures.ts';
import { encodePng } from './write-png.ts';

async function errorOf(bytes: Uint8Array): Promise<string> {
  try {
    await decodeImage(bytes);
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : `not an Error: ${error}`;
  }
}

test('a baseline and a progressive JPEG give the picture that was encoded', async () => {
  const original = gradient(61, 43);
  for (const progressive of [false, true]) {
    const image = await decodeImage(await encodeJpeg(original, { progressive }));
    assert.equal([image.width, image.height, image.channels], [61, 43, 3]);
    assert.ok(largestDifference(image.data, original.data) <= 6);
  }
});

test('a grey JPEG becomes RGB with equal channels', async () => {
  const grey = { ...gradient(40, 24), data: gradient(40, 24).data.map((_, i, all) => all[i - (i % 3)] as number) };
  const jpeg = await encodeJpeg(grey, { color_space: 1 });
  assert.is(jpeg[jpeg.indexOf(0xc0, jpeg.indexOf(0xdb)) + 8], 1, 'the file has one component');
  const image = await decodeImage(jpeg);
  assert.is(image.channels, 3);
  for (let i = 0; i < image.data.length; i += 3) assert.equal(image.data[i], image.data[i + 2]);
  assert.ok(largestDifference(image.data, grey.data) <= 4);
});

// CIPA DC-008, 4.6.4, Orientation: which visual sides the stored picture's row 0 and column 0 are.
const sides = [
  ['top', 'left'],
  ['top', 'right'],
  ['bottom', 'right'],
  ['bottom', 'left'],
  ['left', 'top'],
  ['right', 'top'],
  ['right', 'bottom'],
  ['left', 'bottom'],
] as const;

test('Exif orientations 1 to 8 are honoured in both byte orders', async () => {
  const [width, height] = [48, 32];
  const jpeg = await encodeJpeg(gradient(width, height));
  let seen = 0;
  for (const [index, [row0, column0]] of sides.entries()) {
    for (const littleEndian of [true, false]) {
      const image = await decodeImage(withOrientation(jpeg, index + 1, littleEndian));
      const upright = row0 === 'top' || row0 === 'bottom';
      assert.equal([image.width, image.height], upright ? [width, height] : [height, width]);
      // The stored picture's upper left corner has neither red nor green; red grows along its rows, green along columns.
      const x = (upright ? column0 : row0) === 'left' ? 0 : image.width - 1;
      const y = (upright ? row0 : column0) === 'top' ? 0 : image.height - 1;
      const [farX, farY] = [image.width - 1 - x, image.height - 1 - y];
      const alongRow = upright ? pixel(image, farX, y) : pixel(image, x, farY);
      const alongColumn = upright ? pixel(image, x, farY) : pixel(image, farX, y);
      assert.ok(largestDifference(pixel(image, x, y), [0, 0, 128]) < 8, `orientation ${index + 1}, corner`);
      assert.ok(largestDifference(alongRow, [255, 0, 128]) < 8, `orientation ${index + 1}, end of row 0`);
      assert.ok(largestDifference(alongColumn, [0, 255, 128]) < 8, `orientation ${index + 1}, end of column 0`);
      seen++;
    }
  }
  assert.is(seen, 16);
});

test('metadata that does not parse is no reason to refuse a picture', async () => {
  const jpeg = withOrientation(await encodeJpeg(gradient(16, 16)), 6, true);
  const next = randomFrom(5);
  for (let i = 0; i < 50; i++) {
    const broken = jpeg.slice();
    broken[10 + next(26)] = next(256);
    const { width, height } = await decodeImage(broken);
    assert.equal([width, height], [16, 16]);
  }
});

test('a JPEG or PNG cut anywhere is refused with its length and what is missing', async () => {
  const files = [
    ['JPEG', await encodeJpeg(gradient(16, 16)), 'marker'],
    ['PNG', encodePng(noise(9, 7, 3, 1)), 'chunk'],
  ] as const;
  let seen = 0;
  for (const [kind, bytes, missing] of files) {
    for (let length = 8; length < bytes.length; length++) {
      const size = length.toLocaleString('en');
      const expected = `image: expected a whole ${kind}, got one that ends after ${size} bytes without an end ${missing}`;
      assert.is(await errorOf(bytes.subarray(0, length)), expected);
      seen++;
    }
  }
  assert.ok(seen > 500, `saw only ${seen} lengths`);
});

test('what is neither JPEG nor PNG is refused with its first bytes', async () => {
  assert.is(
    await errorOf(Buffer.from('GIF89a')),
    'image: expected a JPEG or PNG file, got 6 bytes that begin with "47494638"',
  );
  assert.is(await errorOf(new Uint8Array()), 'image: expected a JPEG or PNG file, got 0 bytes that begin with ""');
});

test('a picture with too many pixels is refused from its header, before anything is decoded', async () => {
  const jpeg = await encodeJpeg(gradient(16, 16));
  const frame = jpeg.indexOf(0xc0, jpeg.indexOf(0xdb));
  jpeg.set([0xff, 0xdc, 0xff, 0xdc], frame + 4);
  assert.match(await errorOf(jpeg), /^image: expected at most 33,177,600 pixels, got 65500x65500 \(4,290,250,000\)/);
  const png = encodePng(noise(2, 2, 3, 1));
  new DataView(png.buffer, png.byteOffset).setUint32(16, 0x7fffffff);
  assert.match(await errorOf(png), /expected at most 33,177,600 pixels/);
  assert.is(PIXELS_MAX, 33_177_600);
  const small = await encodeJpeg(gradient(20, 10));
  assert.is((await decodeImage(small, { pixelsMax: 200 })).width, 20);
  await decodeImage(small, { pixelsMax: 199 }).then(
    () => assert.unreachable(),
    (error: Error) => assert.match(error.message, /at most 199 pixels, got 20x10/),
  );
});

test('JPEG kinds that are not decoded are named', async () => {
  const jpeg = await encodeJpeg(gradient(16, 16));
  const frame = jpeg.indexOf(0xc0, jpeg.indexOf(0xdb));
  const changed = (offset: number, value: number) =>
    jpeg.map((byte, index) => (index === frame + offset ? value : byte));
  assert.match(await errorOf(changed(8, 4)), /4 channels \(CMYK\); save it as RGB/);
  assert.match(await errorOf(changed(3, 12)), /8 bits a channel, got 12/);
  assert.match(await errorOf(changed(0, 0xc3)), /coding process 0xc3/);
});

test('a file that ends the decoder does not take along a sound one that is decoded at the same time', async () => {
  const sound = await encodeJpeg(gradient(32, 32));
  const fatal = Uint8Array.from(sound);
  // The lengths of a Huffman table that cannot be (T.81, B.2.4.2).
  const table = Buffer.from(fatal).indexOf(Buffer.of(0xff, 0xc4));
  fatal.fill(255, table + 5, table + 21);
  for (let round = 0; round < 2; round++) {
    const [bad, good] = await Promise.allSettled([decodeImage(fatal), decodeImage(sound)]);
    assert.match(String(bad.status === 'rejected' && bad.reason), /the decoder gave up/);
    assert.is(good.status, 'fulfilled', String(good.status === 'rejected' && good.reason));
  }
});

test('a seeded storm of damaged files gives pictures or clear errors, and the next sound file is read as ever', async () => {
  const seed = 20_261_123;
  const next = randomFrom(seed);
  const original = gradient(64, 48);
  const files = [
    await encodeJpeg(original),
    await encodeJpeg(original, { progressive: true }),
    withOrientation(await encodeJpeg(original), 6, true),
    encodePng(original),
  ];
  let [pictures, errors] = [0, 0];
  for (let round = 0; round < 1200; round++) {
    const file = files[round % files.length] as Uint8Array;
    const broken = Uint8Array.from(file);
    for (let edits = 1 + next(4); edits > 0; edits--) broken[next(broken.length)] = next(256);
    const bytes = next(4) === 0 ? broken.subarray(0, next(broken.length)) : broken;
    try {
      const image: Image = await decodeImage(bytes, { pixelsMax: 1_000_000 });
      assert.is(image.data.length, image.width * image.height * 3);
      pictures++;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      assert.match(message, /^image: expected /, `seed ${seed}, round ${round}`);
      errors++;
    }
  }
  console.log(`seed ${seed}: ${pictures} pictures, ${errors} errors`);
  assert.is(pictures + errors, 1200);
  assert.ok(pictures > 100 && errors > 300);
  const image = await decodeImage(files[0] as Uint8Array);
  assert.ok(largestDifference(image.data, original.data) <= 6);
});

test.run();
