/** Writes PNG files. Source: W3C PNG Specification, third edition. */
import { crc32, deflateSync } from 'node:zlib';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];
const IHDR = 0x49484452;
const IDAT = 0x49444154;
const IEND = 0x49454e44;

/** An 8-bit grey or RGB PNG. Rows are stored with the "up" filter, which suits both drawings and photographs. */
export function encodePng(image: { width: number; height: number; channels: 1 | 3; data: Uint8Array }): Uint8Array {
  const { width, height, channels, data } = image;
  const rowBytes = width * channels;
  const scanlines = new Uint8Array(height * (rowBytes + 1));
  for (let y = 0; y < height; y++) {
    scanlines[y * (rowBytes + 1)] = 2;
    for (let i = 0; i < rowBytes; i++) {
      const up = y > 0 ? (data[(y - 1) * rowBytes + i] as number) : 0;
      scanlines[y * (rowBytes + 1) + 1 + i] = (data[y * rowBytes + i] as number) - up;
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header[8] = 8;
  header[9] = channels === 1 ? 0 : 2;
  const chunks = [chunk(IHDR, header), chunk(IDAT, deflateSync(scanlines)), chunk(IEND, new Uint8Array())];
  return Buffer.concat([Uint8Array.from(SIGNATURE), ...chunks]);
}

function chunk(type: number, body: Uint8Array): Uint8Array {
  const bytes = Buffer.alloc(12 + body.length);
  bytes.writeUInt32BE(body.length, 0);
  bytes.writeUInt32BE(type, 4);
  bytes.set(body, 8);
  bytes.writeUInt32BE(crc32(bytes.subarray(4, 8 + body.length)), 8 + body.length);
  return bytes;
}
