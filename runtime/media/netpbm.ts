/** Portable bit, grey and pixel maps, binary and plain. Source: Netpbm, pbm(5), pgm(5), ppm(5). */
import type { Image } from './image.ts';

export function isNetpbm(bytes: Uint8Array): boolean {
  return bytes[0] === 0x50 && (bytes[1] as number) >= 0x31 && (bytes[1] as number) <= 0x36;
}

interface NetpbmHeader {
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3;
  readonly isBits: boolean;
  readonly isPlain: boolean;
  /** Value of full brightness. */
  readonly most: number;
  readonly pixelsAt: number;
}

/** The next word, and the offset behind the one character of white space that ends it. */
function nextWord(bytes: Uint8Array, start: number): [word: string, end: number] {
  let at = start;
  const isSpace = (): boolean => /\s/.test(String.fromCharCode(bytes[at] as number));
  while (at < bytes.length && (isSpace() || bytes[at] === 0x23)) {
    if (bytes[at] === 0x23) while (at < bytes.length && bytes[at] !== 0x0a) at++;
    else at++;
  }
  const from = at;
  while (at < bytes.length && !isSpace()) at++;
  return [String.fromCharCode(...bytes.subarray(from, Math.min(at, from + 20))), at + 1];
}

export function readNetpbmHeader(bytes: Uint8Array): NetpbmHeader {
  const kind = (bytes[1] as number) - 0x30;
  const isBits = kind % 3 === 1;
  let at = 2;
  const numbers = (isBits ? ['width', 'height'] : ['width', 'height', 'maximum']).map((name) => {
    const [word, end] = nextWord(bytes, at);
    at = end;
    if (!/^[1-9]\d{0,8}$/.test(word)) throw new Error(`image: expected the ${name} of a PNM file, got "${word}"`);
    return Number(word);
  });
  const [width = 0, height = 0, most = 1] = numbers;
  if (most > 65535) throw new Error(`image: expected a PNM maximum of at most 65535, got ${most}`);
  return { width, height, channels: kind % 3 === 0 ? 3 : 1, isBits, isPlain: kind <= 3, most, pixelsAt: at };
}

/** Scaled to 0 … 255. The caller has checked the header's size. */
export function decodeNetpbm(bytes: Uint8Array): Image {
  const header = readNetpbmHeader(bytes);
  const { width, height, channels, most } = header;
  const data = new Uint8Array(width * height * channels);
  const value = header.isPlain ? plainValues(bytes, header) : binaryValues(bytes, header);
  for (let i = 0; i < data.length; i++) data[i] = Math.round((value(i) * 255) / most);
  return { width, height, channels, data };
}

function binaryValues(bytes: Uint8Array, header: NetpbmHeader): (index: number) => number {
  const { width, height, channels, isBits, most, pixelsAt } = header;
  const rowBytes = isBits ? Math.ceil(width / 8) : width * channels * (most > 255 ? 2 : 1);
  if (pixelsAt + rowBytes * height > bytes.length)
    throw new Error(`image: expected a PNM file of ${pixelsAt + rowBytes * height} bytes, got ${bytes.length}`);
  const at = (index: number): number => bytes[pixelsAt + index] as number;
  if (isBits) {
    return (index) => {
      const x = index % width;
      const row = ((index - x) / width) * rowBytes;
      return 1 - ((at(row + (x >> 3)) >> (7 - (x & 7))) & 1); // a set bit is black
    };
  }
  return most > 255 ? (index) => at(2 * index) * 256 + at(2 * index + 1) : at;
}

/** In order only, as they are read. */
function plainValues(bytes: Uint8Array, { pixelsAt, isBits, most }: NetpbmHeader): (index: number) => number {
  let position = pixelsAt;
  const digit = (): string => {
    // Bits need no white space between them.
    while (position < bytes.length && bytes[position] !== 0x30 && bytes[position] !== 0x31) position++;
    return String.fromCharCode(bytes[position++] ?? 0);
  };
  return () => {
    if (isBits) {
      const bit = digit();
      if (bit === '\0') throw new Error('image: expected more pixels in a plain PNM file');
      return bit === '1' ? 0 : 1;
    }
    const [word, end] = nextWord(bytes, position);
    position = end;
    const value = Number(word);
    if (word === '' || !(value >= 0 && value <= most))
      throw new Error(`image: expected values from 0 to ${most} in a plain PNM file, got "${word}"`);
    return value;
  };
}
