/** Encoded pictures → pixels. Source: ONNX Operators.md, ImageDecoder. */
import type { Tensor } from '../../engine/tensor.ts';
import { decodeBitmap, isBitmap, readBitmapHeader } from '../../media/bitmap.ts';
import { checkPixels, dropAlpha, type Image, PIXELS_MAX } from '../../media/image.ts';
import { readJpegHeader } from '../../media/jpeg-header.ts';
import { decodeJpeg } from '../../media/jpeg-io.ts';
import { decodeNetpbm, isNetpbm, readNetpbmHeader } from '../../media/netpbm.ts';
import { decodePng, isPng, readPngHeader } from '../../media/png.ts';
import { decodeTiff, isTiff, readTiffHeader } from '../../media/tiff.ts';
import { decodeWebp, isWebp, readWebpHeader } from '../../media/webp-io.ts';
import type { HostContext } from './host-context.ts';

interface Format {
  readonly recognise: (bytes: Uint8Array) => boolean;
  readonly readHeader: (bytes: Uint8Array) => { width: number; height: number };
  readonly decode: (bytes: Uint8Array) => Image;
}

function withoutAlpha({ width, height, rgba }: ReturnType<typeof decodeWebp>): Image {
  return { width, height, channels: 3, data: dropAlpha(rgba) };
}

const formats: readonly Format[] = [
  { recognise: isPng, readHeader: readPngHeader, decode: (bytes) => ({ ...decodePng(bytes), channels: 3 }) },
  {
    recognise: (bytes) => bytes[0] === 0xff && bytes[1] === 0xd8,
    readHeader: readJpegHeader,
    decode: (bytes) => withoutAlpha(decodeJpeg(bytes)),
  },
  { recognise: isBitmap, readHeader: readBitmapHeader, decode: decodeBitmap },
  { recognise: isNetpbm, readHeader: readNetpbmHeader, decode: decodeNetpbm },
  { recognise: isWebp, readHeader: readWebpHeader, decode: (bytes) => withoutAlpha(decodeWebp(bytes)) },
  { recognise: isTiff, readHeader: readTiffHeader, decode: decodeTiff },
];

/** The signature of a JP2 file (ISO/IEC 15444-1, annex I) and the start of a bare code stream. */
function isJpeg2000(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, 8)).toString('hex');
  return start === '0000000c6a502020' || start.startsWith('ff4fff51');
}

/** [H, W, C] of uint8, as stored: an orientation that the file states is not applied. A damaged file gives no pixels. */
export function imageDecoder(node: HostContext): Tensor {
  const source = node.tensor(0);
  if (source.type !== 'uint8' || source.dims.length !== 1)
    throw new Error(`expected the bytes of a file as uint8 [n], got ${source.type} [${source.dims}]`);
  const bytes = source.data as Uint8Array;
  const order = node.text('pixel_format', ['RGB', 'BGR', 'Grayscale'], 'RGB');
  const channels = order === 'Grayscale' ? 1 : 3;
  if (isJpeg2000(bytes)) throw node.unsupported('JPEG 2000');
  const format = formats.find(({ recognise }) => recognise(bytes));
  const empty: Tensor = { type: 'uint8', dims: [0, 0, channels], data: new Uint8Array() };
  if (!format) return empty;
  let image: Image;
  try {
    checkPixels(format.readHeader(bytes), PIXELS_MAX);
    image = format.decode(bytes);
  } catch {
    return empty; // the standard wants an empty result "for any reason"
  }
  const { width, height } = image;
  return { type: 'uint8', dims: [height, width, channels], data: arranged(image, order) };
}

/** Weights of ITU-R BT.601 for the brightness, in 16-bit fixed point. */
const [RED, GREEN, BLUE] = [19595, 38470, 7471];

function arranged({ channels, data }: Image, order: 'RGB' | 'BGR' | 'Grayscale'): Uint8Array {
  if (channels === 3 && order === 'RGB') return data;
  if (channels === 1 && order === 'Grayscale') return data;
  const pixels = data.length / channels;
  const [red, green, blue] = channels === 3 ? [0, 1, 2] : [0, 0, 0];
  const arranged = new Uint8Array(pixels * (order === 'Grayscale' ? 1 : 3));
  for (let pixel = 0; pixel < pixels; pixel++) {
    const [r, g, b] = [red, green, blue].map((channel) => data[pixel * channels + channel] as number) as [
      number,
      number,
      number,
    ];
    if (order === 'Grayscale') arranged[pixel] = (r * RED + g * GREEN + b * BLUE + 0x8000) >> 16;
    else arranged.set(order === 'BGR' ? [b, g, r] : [r, g, b], pixel * 3);
  }
  return arranged;
}
