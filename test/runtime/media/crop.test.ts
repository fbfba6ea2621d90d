import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { cropBox, cropQuad } from '../../../runtime/media/crop.ts';
import { gradient, largestDifference, noise, pixel } from './pictures.ts';

test('a quadrilateral is set upright as by OpenCV warpPerspective, bilinear, borders replicated', () => {
  // OpenCV 5.0.0 on GaussianBlur(noise 40x30, 5x5), every 7th column and 5th row. Corners were shifted by half a pixel,
  // because OpenCV counts from pixel centres. It samples at 1/32 of a pixel, hence the tolerance.
  const blurred = blur(noise(40, 30, 3, 7));
  const expected = [
    143, 146, 160, 105, 153, 114, 139, 116, 117, 108, 117, 127, 123, 136, 135, 153, 115, 137, 93, 136, 146, 150, 144,
    133, 117, 93, 107, 120, 108, 114, 121, 139, 118, 98, 133, 141, 122, 133, 138, 71, 128, 138, 120, 113, 94, 118, 162,
    101,
  ];
  const image = cropQuad(blurred, [
    [5, 4],
    [33, 9],
    [30, 25],
    [3, 20],
  ]);
  assert.equal([image.width, image.height], [28, 16]);
  const sampled = [];
  for (let y = 0; y < 16; y += 5) for (let x = 0; x < 28; x += 7) sampled.push(...pixel(image, x, y));
  assert.ok(largestDifference(sampled, expected) <= 4, `${largestDifference(sampled, expected)}`);
});

/** OpenCV's GaussianBlur with a 5x5 kernel and its default border (reflected, edge not repeated). */
function blur(image: ReturnType<typeof noise>): ReturnType<typeof noise> {
  const kernel = [1, 4, 6, 4, 1].map((weight) => weight / 16);
  const mirror = (i: number, size: number) => (i < 0 ? -i : i >= size ? 2 * size - 2 - i : i);
  const { width, height } = image;
  const data = image.data.map((_, index) => {
    const [channel, x, y] = [index % 3, Math.floor(index / 3) % width, Math.floor(index / 3 / width)];
    let sum = 0;
    for (let dy = -2; dy <= 2; dy++)
      for (let dx = -2; dx <= 2; dx++) {
        const value = image.data[(mirror(y + dy, height) * width + mirror(x + dx, width)) * 3 + channel] as number;
        sum += (kernel[dx + 2] as number) * (kernel[dy + 2] as number) * value;
      }
    return Math.round(sum);
  });
  return { ...image, data };
}

test('corners on the pixel grid give those pixels unchanged', () => {
  const image = noise(20, 12, 3, 3);
  const cut = cropQuad(image, [
    [4, 2],
    [16, 2],
    [16, 10],
    [4, 10],
  ]);
  assert.equal([cut.width, cut.height], [12, 8]);
  assert.equal(cut.data, cropBox(image, [4, 2, 16, 10]).data);
});

test('a line that is read upwards is laid down: turned a quarter counterclockwise when 1.5 times as high as wide', () => {
  const image = gradient(40, 40);
  const standing = cropQuad(image, [
    [10, 5],
    [20, 5],
    [20, 35],
    [10, 35],
  ]);
  assert.equal([standing.width, standing.height], [30, 10]);
  // Upper left of the turned picture is what was upper right.
  assert.equal(pixel(standing, 0, 0), pixel(image, 19, 5));
  assert.equal(pixel(standing, 29, 9), pixel(image, 10, 34));
  assert.equal(
    [
      cropQuad(image, [
        [0, 0],
        [20, 0],
        [20, 29],
        [0, 29],
      ]).width,
    ],
    [20],
  );
});

test('a box is rounded outwards and cut to the picture', () => {
  const image = gradient(10, 10);
  const cut = cropBox(image, [-5, 2.4, 3.2, 99]);
  assert.equal([cut.width, cut.height], [4, 8]);
  assert.equal(pixel(cut, 0, 0), pixel(image, 0, 2));
});

test('a region outside the picture shows its replicated border', () => {
  const image = { width: 2, height: 2, channels: 1 as const, data: Uint8Array.of(1, 2, 3, 4) };
  assert.equal(
    [
      ...cropQuad(image, [
        [-2, -2],
        [0, -2],
        [0, 0],
        [-2, 0],
      ]).data,
    ],
    [1, 1, 1, 1],
  );
});

test('regions without an inside are refused', () => {
  const image = gradient(10, 10);
  assert.throws(() => cropBox(image, [4, 4, 4, 8]), /crop: expected a box inside 10x10 pixels/);
  assert.throws(() => cropBox(image, [Number.NaN, 0, 5, 5]), /crop: expected a box inside/);
  assert.throws(
    () =>
      cropQuad(image, [
        [0, 0],
        [0.5, 0],
        [0.5, 9],
        [0, 9],
      ]),
    /four corners of a region/,
  );
  assert.throws(
    () =>
      cropQuad(image, [
        [0, 0],
        [1e9, 0],
        [1e9, 9],
        [0, 9],
      ]),
    /four corners of a region/,
  );
  assert.throws(
    () =>
      cropQuad(image, [
        [0, 0],
        [4, 4],
        [8, 8],
        [2, 2],
      ]),
    /not on one line/,
  );
  assert.throws(
    () =>
      cropQuad(image, [
        [Number.NaN, 0],
        [4, 0],
        [4, 4],
        [0, 4],
      ]),
    /four corners of a region/,
  );
});

test.run();
