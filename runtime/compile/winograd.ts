/** Convolutions by Winograd's algorithm: when, the weights' form, and the instructions. The kernels: assembly/tensor/winograd.ts. */
import * as op from '../../assembly/opcodes.ts';
import { activationWords, assembleGemm, checkShape } from './assemble-matrix.ts';
import { type Address, type ConvShape, type Instructions, NO_ADDRESS } from './instructions.ts';
import { packedLength, repeatColumns, roundUp } from './pack.ts';
import type { PackingRoom } from './packing-room.ts';
import { shapeWords } from './picture-parts.ts';
import { behind, checkAligned, checkMatrices, ELEMENTS_MAX, inParts, type Writer } from './writer.ts';

/** The kernels move channels in eights. */
const CHANNELS = 8;
/** Fewer input channels make the products too thin; those along one axis save less, above all the ones of ten points. */
const CHANNELS_MIN = 8;
/** For fewer there is a product that leaves nothing of a vector empty (assembly/tensor/narrow-gemm.ts), while the transforms move eights. */
const OUTPUTS_MIN = 5;
const LINE_CHANNELS_MIN = 16;
const LONG_LINE_CHANNELS_MIN = 32;
/**
 * Transformed weights are 1.1 to 4 times as large as the plain ones. Each should serve so many tiles, unless all fit the second-level cache;
 * and no layer may take more memory than this.
 */
const TILES_MIN = 12;
const CACHED_BYTES = 1_000_000;
const WEIGHTS_BYTES_MAX = 24_000_000;
/** Tiles at work at a time: what they need should stay in the second-level cache, but the weights pass by once each time. */
const BLOCK_BYTES = 1_500_000;
const BLOCK_TILES_MIN = 24;
const BLOCK_TILES_MAX = 96;
const TILE_ROWS = 6;
/** Tiles that one instruction transforms, and values of them with many channels. */
const PART_TILES = 12;
const PART_VALUES = 2 * ELEMENTS_MAX;
/** Into so many a convolution is cut if need be, for cores to share. */
const BLOCKS_WANTED = 8;
/** 36 values of eight channels. */
const ROOM_BYTES = 36 * CHANNELS * 4;
/** A cache line, in floats. */
const LINE = 16;

/** Interpolation points besides infinity; assembly/tensor/winograd-transform.ts says why these. */
const sixPoints = [0, 0.625, -0.625, 1.5, -1.5];
const tenPoints = [0, 0.375, -0.375, 0.75, -0.75, 1.25, -1.25, 1.75, -1.75];

/** Values along an axis of a tile, for so many taps. */
function pointsOf(taps: number): number {
  if (taps === 1) return 1;
  return taps <= 5 ? sixPoints.length + 1 : tenPoints.length + 1;
}

function productsOf({ kernel }: ConvShape): number {
  return pointsOf(kernel[0]) * pointsOf(kernel[1]);
}

function tilesOf(shape: ConvShape): number {
  const { kernel, dilations } = shape;
  const along = (size: number, axis: 0 | 1): number => {
    const results = pointsOf(kernel[axis]) - kernel[axis] + 1;
    return dilations[axis] * Math.ceil(Math.ceil(size / dilations[axis]) / results);
  };
  return shape.batch * along(shape.outputHeight, 0) * along(shape.outputWidth, 1);
}

/** Kernels that have a transform: small squares and the like, or a longer row or column. */
function isTransformed(kernel: readonly [number, number]): boolean {
  const [short, long] = kernel.toSorted((a, b) => a - b) as [number, number];
  return short === 1 ? [3, 5, 7, 9].includes(long) : [3, 5].includes(short) && [3, 5].includes(long);
}

/** Whether it is faster than the plain sum, and worth its memory. */
export function isWinograd(shape: ConvShape): boolean {
  const { inputChannels, outputChannels, group, kernel, strides } = shape;
  if (group !== 1 || !isTransformed(kernel) || strides.some((step) => step !== 1)) return false;
  if (outputChannels < OUTPUTS_MIN) return false;
  const line = Math.max(...kernel) > 5 ? LONG_LINE_CHANNELS_MIN : LINE_CHANNELS_MIN;
  if (inputChannels < (Math.min(...kernel) === 1 ? line : CHANNELS_MIN)) return false;
  const weightsBytes = productsOf(shape) * inputChannels * outputChannels * 4;
  return weightsBytes <= (tilesOf(shape) >= TILES_MIN ? WEIGHTS_BYTES_MAX : CACHED_BYTES);
}

/** Weights of `taps` → values of their polynomial at the points, over the products of the points' distances. */
function transformOf(taps: number): readonly (readonly number[])[] {
  if (taps === 1) return [[1]];
  const points = taps <= 5 ? sixPoints : tenPoints;
  const rows = points.map((point) => {
    const distances = points.reduce((product, other) => (other === point ? product : product * (point - other)), 1);
    return Array.from({ length: taps }, (_, tap) => point ** tap / distances);
  });
  return [...rows, Array.from({ length: taps }, (_, tap) => (tap === taps - 1 ? 1 : 0))];
}

/** [outputChannels, inputChannels, kh, kw] → a packed matrix [inputChannels, outputChannels] for each product. */
export function packWinograd(weights: Float32Array, shape: ConvShape, panel: number, room: PackingRoom): Float32Array {
  const [k, n] = [shape.inputChannels, shape.outputChannels];
  const [down, across] = [transformOf(shape.kernel[0]), transformOf(shape.kernel[1])];
  const [kernelHeight, kernelWidth] = shape.kernel;
  const products = productsOf(shape);
  const each = packedLength(k, n, panel);
  const packed = room.take(products * each);
  const halfway = new Float64Array(down.length * kernelWidth);
  for (let pair = 0; pair < n * k; pair++) {
    const first = pair * kernelHeight * kernelWidth;
    const [input, output] = [pair % k, Math.floor(pair / k)];
    const lane = output % panel;
    const place = (output - lane) * k + input * panel + lane;
    for (let row = 0; row < down.length; row++) {
      const factors = down[row] as readonly number[];
      for (let column = 0; column < kernelWidth; column++) {
        let sum = 0;
        for (let tap = 0; tap < kernelHeight; tap++)
          sum += (factors[tap] as number) * (weights[first + tap * kernelWidth + column] as number);
        halfway[row * kernelWidth + column] = sum;
      }
    }
    for (let product = 0; product < products; product++) {
      const row = Math.floor(product / across.length) * kernelWidth;
      const factors = across[product % across.length] as readonly number[];
      let sum = 0;
      for (let tap = 0; tap < kernelWidth; tap++) sum += (factors[tap] as number) * (halfway[row + tap] as number);
      packed[product * each + place] = sum;
    }
  }
  for (let product = 0; product < products; product++)
    repeatColumns(packed.subarray(product * each, (product + 1) * each), k, n, panel);
  return packed;
}

interface Room {
  readonly tiles: number;
  /** Elements from one product's matrix to the next: not all of them should lie in the same sets of the first-level cache. */
  readonly inputPlane: number;
  readonly outputPlane: number;
  readonly patch: number;
  readonly inputs: number;
  readonly products: number;
  readonly end: number;
}

/** Whole cache lines, an odd number of them. */
function planeOf(elements: number): number {
  const lines = Math.ceil(elements / LINE);
  return (lines + 1 - (lines % 2)) * LINE;
}

/** Scratch: room for one transform, a patch at the border, then what the products read and write. */
function lay(shape: ConvShape): Room {
  const [k, n] = [roundUp(shape.inputChannels, CHANNELS), roundUp(shape.outputChannels, CHANNELS)];
  const count = productsOf(shape);
  const fitting = BLOCK_BYTES / (count * (k + n) * 4);
  const most = Math.round((BLOCK_TILES_MAX * 36) / count);
  const wanted = Math.min(Math.max(fitting, BLOCK_TILES_MIN), most);
  const tiles = Math.min(Math.floor(wanted / TILE_ROWS) * TILE_ROWS, roundUp(tilesOf(shape), TILE_ROWS));
  const [inputPlane, outputPlane] = [planeOf(tiles * k), planeOf(tiles * n)];
  const inputs = roundUp(ROOM_BYTES + count * k * 4, 64);
  const products = inputs + count * inputPlane * 4;
  return {
    tiles,
    inputPlane,
    outputPlane,
    patch: ROOM_BYTES,
    inputs,
    products,
    end: products + count * outputPlane * 4,
  };
}

function partTiles(channels: number): number {
  return Math.min(PART_TILES, PART_VALUES / 36 / channels);
}

export function winogradScratchBytes(shape: ConvShape): number {
  return lay(shape).end;
}

/** As a convolution, with weights from `packWinograd`. */
export function assembleWinograd(writer: Writer, panel: number, call: Parameters<Instructions['conv']>[0]): void {
  const { shape, x, weights, bias, y, scratch, activation, residual = NO_ADDRESS } = call;
  checkShape(shape);
  checkAligned(x, weights, bias, scratch, call.residual);
  checkMatrices(y);
  const room = lay(shape);
  const [k, n, tiles] = [shape.inputChannels, shape.outputChannels, tilesOf(shape)];
  const [lda, ldc] = [roundUp(k, CHANNELS), roundUp(n, CHANNELS)];
  const each = packedLength(k, n, panel);
  const own = writer.lane(scratch);
  const block = (base: Address, begin: number, end: number): void => {
    const [inputs, products] = [base + room.inputs, base + room.products];
    writer.inParts(end - begin, partTiles(lda), (first, last) => {
      const places = [behind(inputs, first * lda), room.inputPlane, own, own + room.patch];
      writer.emit(op.WINOGRAD_INPUT, [...shapeWords(shape), x, ...places, begin + first, begin + last]);
    });
    writer.inParts(productsOf(shape), 1, (product) => {
      const [a, c] = [behind(inputs, product * room.inputPlane), behind(products, product * room.outputPlane)];
      const packedB = behind(weights, product * each);
      assembleGemm(writer, panel, { a, lda, packedB, c, ldc, ldr: ldc, m: end - begin, n: ldc, k });
    });
    writer.inParts(end - begin, partTiles(ldc), (first, last) => {
      const from = behind(products, first * ldc);
      const operands = [
        from,
        room.outputPlane,
        y,
        call.yPixelStride ?? n,
        bias,
        residual,
        own,
        begin + first,
        begin + last,
      ];
      writer.emit(op.WINOGRAD_OUTPUT, [...shapeWords(shape), ...activationWords(activation), ...operands]);
    });
  };
  // Cores that each have a block of their own need no data of each other's; with fewer tiles some would have none.
  const share = Math.min(room.tiles, Math.max(BLOCK_TILES_MIN, tiles / BLOCKS_WANTED));
  if (tiles >= 2 * share) writer.inChunks(tiles, share, TILE_ROWS, (begin, end) => block(own, begin, end));
  else inParts(tiles, room.tiles, (begin, end) => block(scratch, begin, end));
}
