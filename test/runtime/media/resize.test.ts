import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  centreCrop,
  fitHeight,
  letterbox,
  limitSide,
  type Placement,
  type Resized,
  stretch,
  toSource,
} from '../../../runtime/media/resize.ts';
import { gradient, largestDifference, noise, pixel } from './pictures.ts';

// What cv2.resize(noise, size, interpolation=cv2.INTER_LINEAR) of OpenCV 5.0.0 gives for a picture of 7x5 pixels.
const source = noise(7, 5, 3, 1);
const openCv: [width: number, height: number, pixels: number[]][] = [
  [
    4,
    3,
    [
      146, 87, 148, 181, 215, 117, 120, 41, 195, 125, 122, 121, 118, 67, 69, 210, 27, 134, 42, 129, 153, 125, 101, 97,
      84, 186, 76, 184, 187, 76, 168, 115, 77, 104, 142, 110,
    ],
  ],
  [
    11,
    9,
    [
      198, 126, 129, 157, 103, 184, 118, 91, 236, 193, 203, 130, 233, 228, 134, 246, 189, 223, 168, 86, 224, 127, 21,
      216, 134, 3, 194, 88, 122, 134, 49, 222, 86, 170, 89, 109, 141, 87, 156, 112, 97, 202, 160, 186, 132, 181, 199,
      147, 184, 155, 227, 138, 72, 204, 124, 30, 188, 156, 43, 182, 130, 112, 129, 105, 168, 85, 123, 27, 77, 114, 60,
      109, 103, 106, 146, 104, 157, 135, 95, 150, 167, 81, 100, 233, 87, 49, 170, 121, 47, 143, 191, 109, 162, 199, 96,
      121, 197, 78, 84, 101, 29, 64, 116, 62, 87, 136, 101, 117, 143, 97, 125, 130, 112, 166, 101, 140, 231, 74, 91,
      168, 86, 92, 138, 150, 160, 155, 172, 103, 112, 184, 47, 74, 85, 47, 55, 125, 72, 71, 178, 92, 94, 206, 29, 113,
      194, 75, 160, 152, 204, 227, 72, 149, 173, 45, 145, 145, 89, 208, 152, 121, 116, 104, 143, 31, 63, 68, 153, 61,
      102, 123, 55, 152, 89, 56, 211, 101, 119, 218, 147, 157, 189, 217, 175, 126, 190, 118, 94, 165, 119, 101, 143,
      198, 107, 139, 144, 111, 139, 90, 51, 239, 75, 85, 166, 46, 136, 88, 24, 208, 160, 111, 231, 198, 146, 218, 212,
      142, 172, 206, 80, 136, 168, 100, 117, 90, 231, 98, 154, 168, 85, 217, 100, 39, 247, 118, 93, 173, 67, 160, 94,
      12, 173, 164, 47, 194, 171, 105, 219, 131, 181, 182, 119, 105, 154, 104, 106, 140, 84, 211, 108, 134, 125, 83,
      180, 41, 32, 251, 143, 98, 177, 80, 174, 98, 5, 153, 167, 8, 172, 155, 80, 220, 83, 205, 188, 68, 120, 165, 65,
      110, 154, 80, 198, 114, 123, 99, 82, 157, 6,
    ],
  ],
  [
    3,
    8,
    [
      137, 92, 210, 246, 189, 223, 106, 75, 156, 124, 84, 168, 165, 145, 228, 153, 90, 147, 109, 73, 111, 66, 96, 233,
      206, 111, 134, 132, 80, 90, 123, 168, 229, 143, 140, 127, 130, 98, 64, 173, 212, 198, 108, 146, 149, 101, 128, 34,
      214, 227, 140, 102, 129, 202, 115, 137, 42, 219, 146, 174, 117, 116, 171, 129, 142, 51, 220, 83, 205, 129, 107,
      142,
    ],
  ],
];

test('stretching agrees with OpenCV INTER_LINEAR to one grey level', () => {
  for (const [width, height, expected] of openCv) {
    const { image } = stretch(source, width, height);
    assert.equal([image.width, image.height, image.channels], [width, height, 3]);
    assert.ok(largestDifference(image.data, expected) <= 1, `${width}x${height}`);
  }
});

test('a picture of one grey level stays so at every size, and a single pixel fills any size', () => {
  let seen = 0;
  for (const [from, to] of [
    [1, 5],
    [2, 3],
    [5, 1],
    [33, 32],
    [32, 33],
    [100, 7],
  ] as const) {
    for (const channels of [1, 3] as const) {
      const flat = { width: from, height: from, channels, data: new Uint8Array(from * from * channels).fill(201) };
      assert.ok(stretch(flat, to, to + 1).image.data.every((value) => value === 201));
      seen++;
    }
  }
  assert.is(seen, 12);
});

/** Source and resized picture are gradients: each resized pixel tells where it came from. */
function checkPlacement({ image, placement }: Resized, width: number, height: number): void {
  let seen = 0;
  for (let y = 0; y < image.height; y++) {
    for (let x = 0; x < image.width; x++) {
      const sourceX = (x + 0.5 - placement.offsetX) / placement.scaleX;
      const sourceY = (y + 0.5 - placement.offsetY) / placement.scaleY;
      if (sourceX < 1 || sourceY < 1 || sourceX > width - 1 || sourceY > height - 1) continue;
      const [red, green] = pixel(image, x, y) as [number, number];
      assert.ok(Math.abs(red - ((sourceX - 0.5) * 255) / (width - 1)) < 2);
      assert.ok(Math.abs(green - ((sourceY - 0.5) * 255) / (height - 1)) < 2);
      assert.equal(toSource(placement, x + 0.5, y + 0.5), [sourceX, sourceY]);
      seen++;
    }
  }
  assert.ok(seen > 300, `saw only ${seen} pixels`);
}

test('each fit says where the source picture lies in the resized one', () => {
  const [width, height] = [90, 60];
  const image = gradient(width, height);
  const fits: [Resized, width: number, height: number][] = [
    [stretch(image, 50, 70), 50, 70],
    [letterbox(image, 64, 64), 64, 64],
    [letterbox(image, 64, 64, { anchor: 'centre' }), 64, 64],
    [centreCrop(image, 40, 40, 0.875), 40, 40],
    [fitHeight(image, 48, { widthMin: 100, multiple: 32 }), 128, 48],
    [limitSide(image, 64), 64, 32],
  ];
  for (const [resized, expectedWidth, expectedHeight] of fits) {
    assert.equal([resized.image.width, resized.image.height], [expectedWidth, expectedHeight]);
    assert.equal([resized.placement.width, resized.placement.height], [expectedWidth, expectedHeight]);
    checkPlacement(resized, width, height);
  }
});

test('padding has its colour, and stands where the anchor leaves room', () => {
  const white = { width: 4, height: 2, channels: 3 as const, data: new Uint8Array(24).fill(255) };
  const corner = letterbox(white, 8, 8);
  assert.equal(
    [pixel(corner.image, 0, 3), pixel(corner.image, 0, 4)],
    [
      [255, 255, 255],
      [114, 114, 114],
    ],
  );
  const centre = letterbox(white, 8, 8, { anchor: 'centre', colour: [1, 2, 3] });
  assert.equal(
    [0, 1, 2, 5, 6].map((y) => pixel(centre.image, 7, y)[2]),
    [3, 3, 255, 255, 3],
  );
  const line = fitHeight(white, 4, { widthMin: 9 });
  assert.equal(
    [pixel(line.image, 7, 3), pixel(line.image, 8, 3)],
    [
      [255, 255, 255],
      [127, 127, 127],
    ],
  );
});

test('a text line as wide as allowed is squeezed', () => {
  const { image, placement } = fitHeight(gradient(1000, 10), 48, { widthMax: 320 });
  assert.equal([image.width, image.height], [320, 48]);
  assert.equal([placement.scaleX, placement.scaleY], [0.32, 4.8]);
});

test('PaddleOCR sizes: the longest side shrinks to the limit, sides become multiples of 32, none less than 32', () => {
  const sizeOf = (width: number, height: number, limit = 960) => {
    const { image } = limitSide({ width, height, channels: 1, data: new Uint8Array(width * height) }, limit);
    return [image.width, image.height];
  };
  assert.equal(sizeOf(640, 320), [640, 320]);
  assert.equal(sizeOf(1920, 1080), [960, 544]);
  assert.equal(sizeOf(700, 500), [704, 512]);
  assert.equal(sizeOf(2000, 10), [960, 32]);
});

test('positions outside the source picture are drawn to its edge', () => {
  const { placement }: { placement: Placement } = letterbox(gradient(100, 50), 200, 200);
  assert.equal(toSource(placement, 250, 150), [100, 50]);
  assert.equal(toSource(placement, -3, 40), [0, 20]);
});

test('sizes that make no picture are refused', () => {
  for (const side of [0, -1, 1.5, Number.NaN, 100_000]) {
    assert.throws(() => stretch(source, side, 10), /resize: expected sides of 1 to 16384 pixels/);
  }
  assert.throws(() => centreCrop(source, 4, 4, 0), /crop fraction in \(0, 1\]/);
});

test.run();
