/**
 * Floats of 8 bits and fewer, which are kept as one byte an element: what each byte stands for, and the byte nearest to a number.
 * Source: the ONNX page "Float stored in 8 bits", OCP Microscaling Formats (MX) 1.0, and the tables of ONNX Cast-25.
 */
import type { ByteFloat } from '../engine/tensor.ts';

export interface CastMode {
  /** What is too large becomes the largest number, not infinite or NaN. */
  readonly saturate: boolean;
  /** For float8e8m0 only. */
  readonly round: 'up' | 'down' | 'nearest';
}

export const USUAL_MODE: CastMode = { saturate: true, round: 'up' };

interface Format {
  readonly mantissa: number;
  readonly bias: number;
  /** The bit of the sign; exponent and mantissa lie below it. */
  readonly sign: number;
  /** Without sign: the largest number, and what stands for larger ones where they are not limited. */
  readonly largest: number;
  readonly beyond: number;
  readonly nan: number;
  /** The code of -0 is NaN. */
  readonly oneZero: boolean;
}

const formats: Record<Exclude<ByteFloat, 'float8e8m0'>, Format> = {
  float8e4m3fn: { mantissa: 3, bias: 7, sign: 0x80, largest: 0x7e, beyond: 0x7f, nan: 0x7f, oneZero: false },
  float8e4m3fnuz: { mantissa: 3, bias: 8, sign: 0x80, largest: 0x7f, beyond: 0x80, nan: 0x80, oneZero: true },
  float8e5m2: { mantissa: 2, bias: 15, sign: 0x80, largest: 0x7b, beyond: 0x7c, nan: 0x7e, oneZero: false },
  float8e5m2fnuz: { mantissa: 2, bias: 16, sign: 0x80, largest: 0x7f, beyond: 0x80, nan: 0x80, oneZero: true },
  // Has no NaN: Cast makes it a zero.
  float4e2m1: { mantissa: 1, bias: 1, sign: 8, largest: 7, beyond: 7, nan: 8, oneZero: false },
};

function sizeOf({ mantissa, bias }: Format, code: number): number {
  const [exponent, fraction] = [code >> mantissa, code & ((1 << mantissa) - 1)];
  const whole = exponent === 0 ? fraction : fraction + (1 << mantissa);
  return whole * 2 ** (Math.max(exponent, 1) - bias - mantissa);
}

export function fromByteFloat(type: ByteFloat, byte: number): number {
  if (type === 'float8e8m0') return byte === 0xff ? Number.NaN : 2 ** (byte - 127);
  const format = formats[type];
  const { sign, largest, oneZero } = format;
  const code = byte & (sign - 1);
  const isInfinite = type === 'float8e5m2' && code === 0x7c;
  if ((oneZero && byte === sign) || (code > largest && !isInfinite)) return Number.NaN;
  const size = isInfinite ? Infinity : sizeOf(format, code);
  return byte & sign ? -size : size;
}

/** The codes of a format rise with the numbers that they stand for, so the nearest is found by halving. */
function nearestCode(format: Format, size: number): number {
  let [low, high] = [0, format.largest + 1];
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    if (sizeOf(format, middle) <= size) low = middle;
    else high = middle;
  }
  const [below, above] = [size - sizeOf(format, low), sizeOf(format, low + 1) - size];
  return above < below || (above === below && low % 2 === 1) ? low + 1 : low;
}

/** Negative numbers are undefined here; they become NaN. */
function toPower(value: number, { saturate, round }: CastMode): number {
  if (Number.isNaN(value) || value < 0) return 0xff;
  if (value < 2 ** -127) return saturate ? 0 : 0xff;
  if (value > 2 ** 127) return saturate ? 0xfe : 0xff;
  let exponent = 0;
  while (2 ** (exponent + 1) <= value) exponent++;
  while (2 ** exponent > value) exponent--;
  const rest = value / 2 ** exponent;
  const isUp = round === 'up' ? rest > 1 : round === 'nearest' && rest >= 1.5;
  return exponent + 127 + (isUp ? 1 : 0);
}

/** Rounds to nearest, ties to even; float8e8m0 as the mode says. */
export function toByteFloat(type: ByteFloat, value: number, mode = USUAL_MODE): number {
  if (type === 'float8e8m0') return toPower(value, mode);
  const format = formats[type];
  const { sign, largest, beyond, nan, oneZero } = format;
  if (Number.isNaN(value)) return nan;
  const code = value === Infinity || value === -Infinity ? largest + 1 : nearestCode(format, Math.abs(value));
  if (oneZero && code === 0) return 0;
  const size = code <= largest ? code : mode.saturate ? largest : beyond;
  return value < 0 || Object.is(value, -0) ? size | sign : size;
}
