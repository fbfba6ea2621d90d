import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { toGrey, toTensor } from '../../../runtime/media/to-tensor.ts';
import { largestDifference, noise } from './pictures.ts';

const image = noise(7, 5, 3, 1);
const at = (x: number, y: number, channel: number) => image.data[(y * 7 + x) * 3 + channel] as number;

test('every layout, order, mean and std gives (pixel · scale − mean) / std at its place', () => {
  let seen = 0;
  const [mean, std] = [
    [0.485, 0.456, 0.406],
    [0.229, 0.224, 0.225],
  ];
  for (const layout of ['nchw', 'nhwc'] as const) {
    for (const order of ['rgb', 'bgr'] as const) {
      const tensor = toTensor(image, { layout, order, mean, std });
      assert.equal(tensor.dims, layout === 'nchw' ? [1, 3, 5, 7] : [1, 5, 7, 3]);
      for (let y = 0; y < 5; y++)
        for (let x = 0; x < 7; x++)
          for (let channel = 0; channel < 3; channel++) {
            const value = tensor.data[layout === 'nchw' ? (channel * 5 + y) * 7 + x : (y * 7 + x) * 3 + channel];
            const pixel = at(x, y, order === 'rgb' ? channel : 2 - channel);
            assert.is(value, Math.fround((pixel / 255 - (mean[channel] as number)) / (std[channel] as number)));
            seen++;
          }
    }
  }
  assert.is(seen, 4 * 105);
});

test('without options pixels run from 0 to 1, and one number of mean serves all channels', () => {
  const black = { width: 1, height: 1, channels: 3 as const, data: Uint8Array.of(0, 255, 51) };
  assert.equal([...toTensor(black).data], [0, 1, Math.fround(0.2)]);
  assert.equal([...toTensor(black, { mean: [0.5], std: [0.5] }).data], [-1, 1, Math.fround(-0.6)]);
  assert.equal([...toTensor(black, { scale: 1, order: 'bgr' }).data], [51, 255, 0]);
});

test("grey is OpenCV's cvtColor to one level", () => {
  // cv2.cvtColor(noise, cv2.COLOR_RGB2GRAY), OpenCV 5.0.0.
  const expected = [
    148, 105, 224, 210, 79, 63, 155, 51, 106, 142, 97, 51, 159, 109, 59, 122, 80, 191, 93, 173, 68, 163, 83, 205, 214,
    176, 107, 171, 173, 105, 160, 138, 94, 118, 117,
  ];
  assert.ok(largestDifference(toGrey(image).data, expected) <= 1);
  const tensor = toTensor(image, { order: 'gray', scale: 1 });
  assert.equal(tensor.dims, [1, 1, 5, 7]);
  assert.equal([...tensor.data], [...toGrey(image).data]);
});

test('a grey picture fills all three channels of a colour tensor', () => {
  const grey = { width: 2, height: 1, channels: 1 as const, data: Uint8Array.of(10, 20) };
  assert.equal([...toTensor(grey, { scale: 1 }).data], [10, 20, 10, 20, 10, 20]);
  assert.equal([...toTensor(grey, { scale: 1, layout: 'nhwc' }).data], [10, 10, 10, 20, 20, 20]);
});

test('means and deviations that do not fit the channels are refused', () => {
  assert.throws(() => toTensor(image, { mean: [1, 2] }), /expected "mean" with 1 or 3 numbers, got 2/);
  assert.throws(() => toTensor(image, { order: 'gray', std: [1, 1, 1] }), /expected "std" with 1 or 1 numbers, got 3/);
  assert.throws(() => toTensor(image, { std: [0] }), /"std" without zeros/);
});

test.run();
