/** Convolutions and pools in parts that are bounded. */
import type { ConvShape } from './instructions.ts';
import type { Writer } from './writer.ts';

export function shapeWords(shape: ConvShape): number[] {
  return [
    shape.batch,
    shape.inputHeight,
    shape.inputWidth,
    shape.inputChannels,
    shape.outputHeight,
    shape.outputWidth,
    shape.outputChannels,
    ...shape.kernel,
    ...shape.strides,
    ...shape.dilations,
    shape.pads[0],
    shape.pads[1],
  ];
}

interface PicturePart {
  /** Of the shape; that of some columns is a picture of its own. */
  readonly words: readonly number[];
  /** Output rows. */
  readonly begin: number;
  readonly end: number;
  /** Pixels to add to where results lie. */
  readonly shift: number;
}

/** Kernels do so many pixels together. */
const TILE_PIXELS = 4;

/** Output rows, some at a time, with at most so many taps; where one has more, columns of one. For kernels that step over what lies outside. */
export function inPictureParts(
  writer: Writer,
  shape: ConvShape,
  tapsMax: number,
  part: (part: PicturePart) => void,
): void {
  const { kernel, strides, pads, outputWidth, outputChannels } = shape;
  const [pixelTaps, rows] = [kernel[0] * kernel[1] * outputChannels, shape.batch * shape.outputHeight];
  const columns = Math.max(TILE_PIXELS, Math.floor((2 * tapsMax) / pixelTaps / TILE_PIXELS) * TILE_PIXELS);
  if (columns >= outputWidth) {
    const words = shapeWords(shape);
    writer.inShares(rows, tapsMax / (pixelTaps * outputWidth), 1, (begin, end) =>
      part({ words, begin, end, shift: 0 }),
    );
    return;
  }
  writer.inParts(rows, 1, (row) => {
    writer.inShares(outputWidth, Math.ceil(columns / 2), TILE_PIXELS, (left, right) => {
      const [top, before, bottom, behindIt] = pads;
      const width = right - left;
      const words = shapeWords({
        ...shape,
        outputWidth: width,
        pads: [top, before - left * strides[1], bottom, behindIt],
      });
      // Kernels count rows of the width that they are told.
      part({ words, begin: row, end: row + 1, shift: left + row * (outputWidth - width) });
    });
  });
}
