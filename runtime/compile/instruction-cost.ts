/**
 * How long an instruction takes, estimated from its words: the cost model behind the bound that every instruction keeps, so that a more
 * urgent run waits for no longer. It states nanoseconds of one core of the machine whose figures the documents have (2 cores of AMD EPYC,
 * Zen 5), by the 256-bit build, with what is read mostly in the cache; `npm run bench -- instructions` puts it beside measurements.
 */
import * as op from '../../assembly/opcodes.ts';
import { softmaxNs } from './assemble-along-axis.ts';
import { ELIMINATION_NS, INDICES_NS, ROI_TAP_NS, ROOT_NS, takeNs, topKSteps } from './assemble-rare.ts';
import { castNs, elementNs } from './element-cost.ts';
import { opcodeAt } from './instruction-words.ts';

type Names<Fields extends string> = Fields extends `${infer First} ${infer Rest}` ? First | Names<Rest> : Fields;

interface Cost {
  /** The operands in word order, as assembly/operands.ts names them, as far as they are needed. */
  readonly fields: readonly string[];
  readonly ns: (operands: Readonly<Record<string, number>>) => number;
}

function cost<const Fields extends string>(
  fields: Fields,
  ns: (operands: Readonly<Record<Names<Fields>, number>>) => number,
): Cost {
  return { fields: fields.split(' '), ns: ns as Cost['ns'] };
}

const SHAPE =
  'batch inputHeight inputWidth inputChannels outputHeight outputWidth outputChannels kernelHeight kernelWidth strideHeight strideWidth dilationHeight dilationWidth padTop padLeft';
const ACTIVATION = 'low high kind alpha beta';
const RESCALING = 'low high zero flip';
const BROADCAST = 'kind condition a b y count conditionStep aStep bStep yRow begin end axes';
const ALONG_AXIS = 'kind x y axis inner begin end columns from to';

type Shape = Readonly<Record<Names<typeof SHAPE>, number>>;

/** A product and a sum, of floats, of int16, of bytes; and an element of a packed matrix that is read for the first time. */
const MAC_NS = 0.021;
const MAC16_NS = 0.022;
const MAC8_NS = 0.011;
const WEIGHT_NS = 0.1;
/** A tap of a window and a channel. */
const TAP_NS = 0.05;
const TAP8_NS = 0.05;
/** An element that is moved. */
const MOVE_NS = 0.25;
const SCATTERED_NS = 1.5;
/** A result that leaves a product: its activation. */
function resultNs(kind: number): number {
  return kind === op.IDENTITY ? 0.2 : 0.2 + elementNs(op.UNARY, kind);
}

function productNs(m: number, n: number, k: number, macNs: number): number {
  return m * n * k * macNs + n * k * WEIGHT_NS;
}

function taps({ kernelHeight, kernelWidth, outputWidth, outputChannels }: Shape, rows: number): number {
  return rows * outputWidth * outputChannels * kernelHeight * kernelWidth;
}

const broadcast = (opcode: number): Cost =>
  cost(BROADCAST, ({ kind, count, begin, end }) => (end - begin) * (8 + count * elementNs(opcode, kind)));
const alongAxis = (opcode: number): Cost =>
  cost(
    ALONG_AXIS,
    ({ kind, begin, end, columns, from, to }) => (end - begin) * (to - from) * columns * elementNs(opcode, kind),
  );

/** Whole panels are written, however few columns are left. */
const packing = (ns: number): Cost =>
  cost(
    'b packed k n transposed panel begin end from to',
    ({ panel, begin, end, from, to }) => (to - from) * Math.ceil((end - begin) / panel) * panel * ns,
  );

const gather = cost(
  `${SHAPE} x columns channelBegin channels begin end`,
  ({ kernelHeight, kernelWidth, channels, begin, end }) =>
    (end - begin) * kernelHeight * kernelWidth * (2 + channels * MOVE_NS),
);

const costs: Readonly<Record<number, Cost>> = {
  [op.GEMM]: cost(
    `${ACTIVATION} a lda b c ldc m n k`,
    ({ kind, m, n, k }) => productNs(m, n, k, MAC_NS) + m * n * resultNs(kind),
  ),
  [op.PACK_MATRIX]: packing(1),
  [op.PACK_INTEGER]: packing(1.5),
  [op.IM2COL]: gather,
  [op.IM2COL_INTEGER]: gather,
  [op.COL2IM]: cost(
    `${SHAPE} columns y channelBegin channels begin end`,
    ({ kernelHeight, kernelWidth, channels, begin, end }) =>
      (end - begin) * kernelHeight * kernelWidth * (3 + channels * MOVE_NS),
  ),
  [op.DEPTHWISE]: cost(
    `${SHAPE} ${ACTIVATION} x weights bias y yPixelStride residual begin end`,
    ({ begin, end, ...o }) =>
      taps(o, end - begin) * TAP_NS + (end - begin) * o.outputWidth * o.outputChannels * resultNs(o.kind),
  ),
  [op.DEPTHWISE_INTEGER]: cost(
    `${SHAPE} x weights bias y begin end`,
    ({ begin, end, ...o }) => taps(o, end - begin) * 0.2,
  ),
  [op.POOL]: cost(
    `${SHAPE} kind x y yPixelStride padBottom padRight begin end`,
    ({ begin, end, ...o }) =>
      taps(o, end - begin) * TAP_NS * 2 + (end - begin) * o.outputWidth * (10 + o.outputChannels * 0.3),
  ),
  [op.UNARY]: cost('kind x y count', ({ kind, count }) => count * elementNs(op.UNARY, kind)),
  [op.BINARY]: broadcast(op.BINARY),
  [op.COMPARE]: broadcast(op.COMPARE),
  [op.WHERE]: broadcast(op.WHERE),
  [op.QUANTIZE]: broadcast(op.QUANTIZE),
  [op.REQUANTIZE]: broadcast(op.REQUANTIZE),
  [op.DEQUANTIZE]: broadcast(op.DEQUANTIZE),
  [op.CENTER]: broadcast(op.CENTER),
  [op.CAST]: cost('x y from to mode count', ({ from, to, count }) => count * castNs(from, to)),
  [op.REDUCE]: alongAxis(op.REDUCE),
  [op.SOFTMAX]: cost(
    ALONG_AXIS,
    ({ axis, inner, begin, end, columns }) => (end - begin) * axis * columns * softmaxNs(inner),
  ),
  [op.ARG_MAX]: alongAxis(op.ARG_MAX),
  [op.CUMULATE]: alongAxis(op.CUMULATE),
  [op.LAYER_NORM]: cost(
    'x y scale bias size epsilon begin end',
    ({ size, begin, end }) => (end - begin) * (16 + size * 0.35),
  ),
  [op.COPY]: cost(
    'x y xOffsetBytes yOffsetBytes elementBytes rows columns xRowBytes yRowBytes xColumnBytes yColumnBytes begin end',
    ({ elementBytes, rows, columns, xColumnBytes, yColumnBytes, begin, end }) => {
      const isRun = xColumnBytes === elementBytes && yColumnBytes === elementBytes;
      const rowNs = isRun ? 10 + (columns * elementBytes * MOVE_NS) / 4 : columns * SCATTERED_NS;
      return (end - begin) * (10 + rows * rowNs);
    },
  ),
  [op.FILL]: cost('y count', ({ count }) => count * 0.1),
  [op.GATHER]: cost(
    'x indices wide y axis count innerBytes begin end bytes',
    ({ bytes, begin, end }) => (end - begin) * (8 + (bytes * MOVE_NS) / 4),
  ),
  [op.RESIZE_NEAREST]: cost(
    'x xPixelStride y yPixelStride rows columns inputHeight inputWidth outputHeight outputWidth channels begin end',
    ({ outputWidth, channels, begin, end }) => (end - begin) * outputWidth * (4 + channels * MOVE_NS),
  ),
  [op.RESIZE_LINEAR]: cost(
    'x xPixelStride y yPixelStride rows columns inputHeight inputWidth outputHeight outputWidth channels begin end',
    ({ outputWidth, channels, begin, end }) => (end - begin) * outputWidth * (6 + channels * 0.5),
  ),
  [op.RECURRENT]: cost(
    'kind gates r h0 second c peephole y room time batch rows hidden panel reverse begin end part',
    ({ kind, rows, hidden, begin, end, part }) => {
      const gates = kind === op.RECURRENT_LSTM ? 4 : kind === op.RECURRENT_RNN ? 1 : 3;
      const product = part === 0 ? productNs(rows, gates * hidden, hidden, MAC_NS) : 0;
      return (end - begin) * (product + rows * hidden * gates * 1.5);
    },
  ),
  [op.GEMM_INTEGER]: cost('a lda b c ldc m n k', ({ m, n, k }) => productNs(m, n, k, MAC16_NS)),
  [op.QUANTIZED_GEMM]: cost(
    `${RESCALING} a lda b y ldy m n k`,
    ({ m, n, k }) => productNs(m, n, k, MAC16_NS) + m * n * 0.5,
  ),
  [op.BYTE_GEMM]: cost(
    `${RESCALING} a lda xZero b y ldy m n k`,
    ({ m, n, k }) => productNs(m, n, k, MAC8_NS) + m * n * 0.5,
  ),
  [op.QUANTIZED_GATHER]: cost(
    `${SHAPE} kind zero direct x columns channelBegin channels begin end`,
    ({ kernelHeight, kernelWidth, channels, begin, end }) =>
      (end - begin) * kernelHeight * kernelWidth * (3 + channels * MOVE_NS),
  ),
  [op.BYTE_GATHER]: cost(
    `${SHAPE} flip fill direct x columns channelBegin channels begin end`,
    ({ kernelHeight, kernelWidth, channels, begin, end }) =>
      (end - begin) * kernelHeight * kernelWidth * (3 + channels * 0.1),
  ),
  [op.QUANTIZED_DEPTHWISE]: cost(
    `${SHAPE} ${RESCALING.replace('zero', 'toZero') as 'low high toZero flip'} kind zero pairs x weights bias factor y ring begin end`,
    ({ begin, end, ...o }) => taps(o, end - begin) * TAP8_NS + (end - begin) * o.outputWidth * o.outputChannels,
  ),
  [op.BYTE_DEPTHWISE]: cost(
    `${SHAPE} ${RESCALING.replace('zero', 'toZero') as 'low high toZero flip'} xFlip xZero fours panel x weights bias factor y scratch outsideBytes shared begin end`,
    ({ begin, end, ...o }) => taps(o, end - begin) * TAP8_NS + (end - begin) * o.outputWidth * o.outputChannels,
  ),
  [op.WRAP_INDICES]: cost('x wide y count', ({ count }) => count),
  [op.SCATTER]: cost(
    'kind y positions updates rows inner begin end columns',
    ({ kind, columns, begin, end }) =>
      (end - begin) * (10 + columns * ((kind & 0xff) === op.SCATTER_SET ? MOVE_NS : 1)),
  ),
  [op.TOP_K]: cost('kind x values indices heap axis inner k begin end from to', ({ axis, begin, end, from, to }) => {
    const { blocks, roots } = topKSteps(axis, 0);
    const among = (first: number, last: number): number => Math.max(0, Math.min(to, last) - Math.max(from, first));
    const chosen = among(blocks, blocks + roots) * ROOT_NS + among(blocks + roots, to) * takeNs(axis);
    return (end - begin) * (among(0, blocks) * INDICES_NS + chosen);
  }),
  [op.SAMPLE]: cost(
    'x grid y mode border aligned normalised rank depth height width channels points begin end',
    ({ mode, rank, channels, begin, end }) => {
      const along = mode === op.SAMPLE_NEAREST ? 1 : mode === op.SAMPLE_LINEAR ? 2 : 4;
      return (end - begin) * (30 + along ** rank * (3 + channels * 1));
    },
  ),
  [op.ROI_ALIGN]: cost(
    'x rois images y batch height width channels outputHeight outputWidth ratio scale offset largest begin end',
    ({ channels, ratio, begin, end }) => (end - begin) * Math.max(ratio, 2) ** 2 * (20 + channels * 4),
  ),
  [op.MAX_ROI_POOL]: cost(
    'x rois y batch height width channels outputHeight outputWidth scale begin end count',
    ({ height, width, begin, end, count }) => (end - begin) * height * width * count * ROI_TAP_NS,
  ),
  [op.DETERMINANT]: cost(
    'x y room size begin end from to',
    ({ size, begin, end, from, to }) => (end - begin) * (to - from) * size ** 2 * ELIMINATION_NS,
  ),
  [op.WINOGRAD_INPUT]: cost(
    `${SHAPE} x y plane room patch begin end`,
    ({ inputChannels, begin, end }) => (end - begin) * 36 * inputChannels * 0.5,
  ),
  [op.WINOGRAD_OUTPUT]: cost(
    `${SHAPE} ${ACTIVATION} x plane y yPixelStride bias residual room begin end`,
    ({ kind, outputChannels, begin, end }) => (end - begin) * outputChannels * (36 * 0.4 + 16 * resultNs(kind)),
  ),
  [op.UNIFORM]: cost('key0 key1 draws room y count begin end', ({ begin, end }) => (end - begin) * 15),
  [op.TREES]: cost(
    'kind x nodes thresholds roots targets weights y features outputs treeBegin treeEnd begin end',
    // Some ten levels.
    ({ treeBegin, treeEnd, begin, end }) => (treeEnd - treeBegin) * (end - begin) * 30,
  ),
  [op.PRODUCT]: cost(
    'type a b c n k transposed begin end columns from to',
    ({ begin, end, columns, from, to }) => (end - begin) * columns * (to - from) * 1.5,
  ),
  [op.LOOKUP]: cost('x table y channels begin end', ({ channels, begin, end }) => (end - begin) * channels * 1),
  /** It returns when it has done so much, and is called again. */
  [op.SUPPRESS]: cost('boxes', () => 65_536 * 2),
  [op.CONV_ROWS]: cost(
    `${SHAPE} ${ACTIVATION} x weights bias y yPixelStride residual room panel begin end`,
    ({ kind, inputChannels, begin, end, ...o }) => {
      const results = (end - begin) * o.outputWidth * o.outputChannels;
      const k = o.kernelHeight * o.kernelWidth * inputChannels;
      return results * k * MAC_NS + o.outputChannels * k * WEIGHT_NS + results * resultNs(kind);
    },
  ),
  [op.CONV_TRANSPOSE_ROWS]: cost(
    `${SHAPE} ${ACTIVATION} x weights bias y room panel begin end`,
    ({ kind, inputWidth, inputChannels, begin, end, ...o }) => {
      const results = (end - begin) * inputWidth * o.kernelHeight * o.kernelWidth * o.outputChannels;
      return results * (inputChannels * MAC_NS + resultNs(kind));
    },
  ),
  [op.UNPACK_BLOCKS]: cost(
    'levels scales zeros y k block zeroStep panel begin end',
    ({ k, begin, end }) => (end - begin) * 16 * k * 0.3,
  ),
};

/** The operands that the model reads, for a test that compares them with the kernels' own. */
export const costedOperands: ReadonlyMap<number, readonly string[]> = new Map(
  Object.entries(costs).map(([opcode, { fields }]) => [Number(opcode), fields]),
);

/** Microseconds that the instruction at `word` is estimated to take. */
export function instructionUs(words: Uint32Array, word: number): number {
  const each = costs[opcodeAt(words, word)];
  if (!each) return 0;
  const operands = Object.fromEntries(
    each.fields.map((name, index) => [name, (words[word + 1 + index] as number) | 0]),
  );
  return each.ns(operands) / 1000;
}
