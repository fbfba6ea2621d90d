/** Convolutions 3x3 by Winograd's F(4x4, 3x3): when, the weights' form, and the instructions. The kernels: assembly/tensor/winograd.ts. */
import * as op from '../../assembly/opcodes.ts';
import { activationWords, assembleGemm, checkShape, shapeWords } from './assemble-matrix.ts';
import { type ConvShape, type Instructions, NO_ADDRESS } from './instructions.ts';
import { packedLength, packPanels, roundUp } from './pack.ts';
import { behind, checkAligned, type Writer } from './writer.ts';

const TILE = 4;
/** Values a tile has after the transform. */
const PRODUCTS = 36;
/** The kernels move channels in eights. */
const CHANNELS = 8;
const CHANNELS_MIN = 16;
/** Transformed weights are four times the plain ones, so each should serve this many tiles. */
const TILES_MIN = 12;
/** Tiles at work at a time: what they need should stay in the second-level cache, but the weights pass by once each time. */
const BLOCK_BYTES = 1_500_000;
const BLOCK_TILES_MIN = 24;
const BLOCK_TILES_MAX = 96;
const TILE_ROWS = 6;
/** 36 values of eight channels. */
const ROOM_BYTES = PRODUCTS * CHANNELS * 4;

function tilesOf(shape: ConvShape): number {
  return shape.batch * Math.ceil(shape.outputHeight / TILE) * Math.ceil(shape.outputWidth / TILE);
}

/** Whether it is faster than the plain sum. */
export function isWinograd(shape: ConvShape): boolean {
  const { inputChannels, outputChannels, group, kernel, strides, dilations } = shape;
  return (
    group === 1 &&
    kernel.every((size) => size === 3) &&
    [...strides, ...dilations].every((step) => step === 1) &&
    [inputChannels, outputChannels].every((channels) => channels >= CHANNELS_MIN && channels % CHANNELS === 0) &&
    tilesOf(shape) >= TILES_MIN
  );
}

/** Weights [3] → [6]: values of the polynomial at 0, ±5/8, ±3/2 and infinity, over the product of the points' distances. */
const transform: readonly (readonly [number, number, number])[] = (() => {
  const points = [0, 0.625, -0.625, 1.5, -1.5];
  const rows = points.map((point): [number, number, number] => {
    const distances = points.reduce((product, other) => (other === point ? product : product * (point - other)), 1);
    return [1 / distances, point / distances, point ** 2 / distances];
  });
  return [...rows, [0, 0, 1]];
})();

/** [outputChannels, inputChannels, 3, 3] → 36 packed matrices [inputChannels, outputChannels]. */
export function packWinograd(weights: Float32Array, shape: ConvShape, panel: number): Float32Array {
  const [k, n] = [shape.inputChannels, shape.outputChannels];
  const each = packedLength(k, n, panel);
  const packed = new Float32Array(PRODUCTS * each);
  const spread = new Float32Array(PRODUCTS * k * n);
  const halfway = new Float64Array(18);
  for (let pair = 0; pair < n * k; pair++) {
    const first = pair * 9;
    for (let row = 0; row < 6; row++) {
      const [a, b, c] = transform[row] as [number, number, number];
      for (let column = 0; column < 3; column++) {
        const at = first + column;
        halfway[row * 3 + column] =
          a * (weights[at] as number) + b * (weights[at + 3] as number) + c * (weights[at + 6] as number);
      }
    }
    for (let row = 0; row < 6; row++) {
      const [x, y, z] = [halfway[row * 3], halfway[row * 3 + 1], halfway[row * 3 + 2]] as [number, number, number];
      for (let column = 0; column < 6; column++) {
        const [a, b, c] = transform[column] as [number, number, number];
        spread[(row * 6 + column) * k * n + pair] = a * x + b * y + c * z;
      }
    }
  }
  for (let product = 0; product < PRODUCTS; product++) {
    const matrix = spread.subarray(product * k * n);
    packPanels(packed.subarray(product * each), k, n, panel, (row, column) => matrix[column * k + row] as number);
  }
  return packed;
}

interface Room {
  readonly tiles: number;
  readonly patch: number;
  readonly inputs: number;
  readonly products: number;
  readonly end: number;
}

/** Scratch: room for one transform, a patch at the border, then what the products read and write. */
function lay(shape: ConvShape): Room {
  const { inputChannels, outputChannels } = shape;
  const fitting = BLOCK_BYTES / (PRODUCTS * (inputChannels + outputChannels) * 4);
  const wanted = Math.min(Math.max(fitting, BLOCK_TILES_MIN), BLOCK_TILES_MAX);
  const tiles = Math.min(Math.floor(wanted / TILE_ROWS) * TILE_ROWS, roundUp(tilesOf(shape), TILE_ROWS));
  const inputs = ROOM_BYTES + PRODUCTS * inputChannels * 4;
  const products = inputs + PRODUCTS * tiles * inputChannels * 4;
  return { tiles, patch: ROOM_BYTES, inputs, products, end: products + PRODUCTS * tiles * outputChannels * 4 };
}

export function winogradScratchBytes(shape: ConvShape): number {
  return lay(shape).end;
}

/** As a convolution, with weights from `packWinograd`. */
export function assembleWinograd(writer: Writer, panel: number, call: Parameters<Instructions['conv']>[0]): void {
  const { shape, x, weights, bias, y, scratch, activation, residual = NO_ADDRESS } = call;
  checkShape(shape);
  checkAligned(x, weights, bias, y, scratch, call.residual);
  const room = lay(shape);
  const [k, n] = [shape.inputChannels, shape.outputChannels];
  const [inputs, products] = [scratch + room.inputs, scratch + room.products];
  const each = packedLength(k, n, panel);
  for (let begin = 0; begin < tilesOf(shape); begin += room.tiles) {
    const end = Math.min(begin + room.tiles, tilesOf(shape));
    const m = end - begin;
    writer.emit(op.WINOGRAD_INPUT, [...shapeWords(shape), x, inputs, scratch, scratch + room.patch, begin, end]);
    for (let product = 0; product < PRODUCTS; product++) {
      const [a, c] = [behind(inputs, product * m * k), behind(products, product * m * n)];
      const packedB = behind(weights, product * each);
      assembleGemm(writer, panel, { a, lda: k, packedB, c, ldc: n, ldr: n, m, n, k });
    }
    const strides = [call.yPixelStride ?? n, bias, residual, scratch];
    writer.emit(op.WINOGRAD_OUTPUT, [
      ...shapeWords(shape),
      ...activationWords(activation),
      products,
      y,
      ...strides,
      begin,
      end,
    ]);
  }
}
