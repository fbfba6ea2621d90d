/**
 * What a JPEG says about itself before it is decoded: size, colour, orientation, and whether it is all there.
 * Sources: ITU-T T.81, Annex B (markers and segments); CIPA DC-008 (Exif), tag 0x0112; TIFF 6.0, section 2.
 */

export interface JpegHeader {
  readonly width: number;
  readonly height: number;
  /** Exif orientation 1–8; 1 when the file does not say. */
  readonly orientation: number;
}

/** A progressive file may repeat scans without end, each costing a pass over the whole picture. */
const SCANS_MAX = 100;

/** Throws an Error when the file is cut short, or of a kind that is not decoded here. */
export function readJpegHeader(bytes: Uint8Array): JpegHeader {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let frame: { width: number; height: number } | undefined;
  let orientation = 1;
  let scans = 0;
  let at = 2;
  while (true) {
    at = nextMarker(bytes, at);
    if (at < 0) throw cutShort(bytes);
    const marker = bytes[at + 1] as number;
    at += 2;
    if (marker === 0xd9) break;
    if (isStandalone(marker)) continue;
    if (at + 2 > bytes.length) throw cutShort(bytes);
    const length = view.getUint16(at);
    if (length < 2) throw new Error(`image: expected a JPEG segment of at least 2 bytes at byte ${at}, got ${length}`);
    if (at + length > bytes.length) throw cutShort(bytes);
    const segment = new DataView(bytes.buffer, bytes.byteOffset + at + 2, length - 2);
    if (isFrame(marker)) frame = readFrame(marker, segment);
    else if (marker === 0xe1) orientation = readOrientation(segment) ?? orientation;
    else if (marker === 0xda && ++scans > SCANS_MAX) {
      throw new Error(`image: expected a JPEG of at most ${SCANS_MAX} scans, got more`);
    }
    at += length;
  }
  if (!frame || scans === 0) throw new Error('image: expected a JPEG with a picture, got one without frame or scan');
  return { ...frame, orientation };
}

function cutShort(bytes: Uint8Array): Error {
  const size = bytes.length.toLocaleString('en');
  return new Error(`image: expected a whole JPEG, got one that ends after ${size} bytes without an end marker`);
}

/** Entropy-coded bytes may hold 0xff only before 0x00 (stuffing) or a restart marker (T.81, B.1.1.5). */
function nextMarker(bytes: Uint8Array, from: number): number {
  let at = bytes.indexOf(0xff, from);
  while (at >= 0 && at + 1 < bytes.length) {
    const code = bytes[at + 1] as number;
    if (code !== 0 && code !== 0xff && (code < 0xd0 || code > 0xd7)) return at;
    at = bytes.indexOf(0xff, code === 0xff ? at + 1 : at + 2);
  }
  return -1;
}

function isStandalone(marker: number): boolean {
  return marker === 0x01 || marker === 0xd8;
}

/** SOF0–SOF15 without DHT, JPG and DAC, which sit in the same range. */
function isFrame(marker: number): boolean {
  return marker >= 0xc0 && marker <= 0xcf && marker !== 0xc4 && marker !== 0xc8 && marker !== 0xcc;
}

function readFrame(marker: number, segment: DataView): { width: number; height: number } {
  if (segment.byteLength < 6) throw new Error('image: expected a JPEG frame header of 6 bytes or more');
  // 0xc0 baseline, 0xc1 extended, 0xc2 progressive; the others are lossless, hierarchical or arithmetic-coded.
  if (marker > 0xc2) {
    throw new Error(`image: expected a baseline or progressive JPEG, got coding process 0x${marker.toString(16)}`);
  }
  const precision = segment.getUint8(0);
  const height = segment.getUint16(1);
  const width = segment.getUint16(3);
  const components = segment.getUint8(5);
  if (precision !== 8) throw new Error(`image: expected a JPEG of 8 bits a channel, got ${precision}`);
  if (components !== 1 && components !== 3) {
    const kind = components === 4 ? ' (CMYK)' : '';
    throw new Error(`image: expected a grey or colour JPEG, got one of ${components} channels${kind}; save it as RGB`);
  }
  // Height 0 would be given later, after the first scan (T.81, B.2.5); no camera does that.
  if (width === 0 || height === 0) throw new Error(`image: expected a JPEG with a size, got ${width}x${height}`);
  return { width, height };
}

const ORIENTATION_TAG = 0x0112;

/** The orientation in an Exif segment, or nothing: metadata that does not parse is no reason to refuse a picture. */
function readOrientation(segment: DataView): number | undefined {
  const tiff = 6; // after "Exif\0\0"
  if (segment.byteLength < tiff + 8 || segment.getUint32(0) !== 0x45786966) return undefined;
  const littleEndian = segment.getUint16(tiff) === 0x4949;
  const directory = tiff + segment.getUint32(tiff + 4, littleEndian);
  if (directory + 2 > segment.byteLength) return undefined;
  const entries = segment.getUint16(directory, littleEndian);
  for (let entry = 0; entry < entries; entry++) {
    const at = directory + 2 + entry * 12;
    if (at + 12 > segment.byteLength) return undefined;
    if (segment.getUint16(at, littleEndian) !== ORIENTATION_TAG) continue;
    const orientation = segment.getUint16(at + 8, littleEndian);
    return orientation >= 1 && orientation <= 8 ? orientation : undefined;
  }
  return undefined;
}
