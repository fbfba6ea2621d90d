/** What a camera does to a scene: lens blur, uneven light, vignetting, exposure, sensor noise. Works in linear light. */
import { type Random, seededRandom } from '../random.ts';

/** Row-major RGB, 8 bits a channel. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly pixels: Uint8Array;
}

export interface Shot {
  readonly seed: number;
  /** Standard deviation of the lens blur in pixels. */
  readonly blurPx: number;
  /** Sideways blur of a moving camera, in pixels from end to end. */
  readonly motionPx: number;
  /** 1 keeps the scene's brightness. */
  readonly exposure: number;
  /** Below 0 bluish, above 0 yellowish. */
  readonly warmth: number;
  /** How much darker the dim side of the scene is, 0 to 1, and the direction of the light in degrees. */
  readonly falloff: number;
  readonly lightDegrees: number;
  /** A soft reflection of a lamp: its brightness, at (x, y) as fractions of the picture. */
  readonly glare: { readonly level: number; readonly x: number; readonly y: number };
  /** Noise of the sensor: standard deviation at full white, in parts of full white. */
  readonly noise: number;
}

const toLinear = Float32Array.from({ length: 256 }, (_, value) => {
  const s = value / 255;
  return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
});

/** IEC 61966-2-1, the sRGB transfer function. */
function fromLinear(value: number): number {
  const clipped = Math.max(0, Math.min(1, value));
  return 255 * (clipped <= 0.0031308 ? 12.92 * clipped : 1.055 * clipped ** (1 / 2.4) - 0.055);
}

export function photograph(scene: Picture, shot: Shot): Picture {
  const { width, height } = scene;
  let light: Float32Array = Float32Array.from(scene.pixels, (value) => toLinear[value] as number);
  const lens = gaussian(shot.blurPx);
  light = filterAlong(light, width, height, lens, 'x');
  light = filterAlong(light, width, height, lens, 'y');
  if (shot.motionPx > 1) light = filterAlong(light, width, height, box(shot.motionPx), 'x');
  illuminate(light, width, height, shot);
  const random = seededRandom(shot.seed);
  addSensorNoise(light, shot.noise, random);
  return { width, height, pixels: Uint8Array.from(light, (value) => Math.round(fromLinear(value))) };
}

function illuminate(light: Float32Array, width: number, height: number, shot: Shot): void {
  const angle = (shot.lightDegrees * Math.PI) / 180;
  const tint = [1 + 0.12 * shot.warmth, 1, 1 - 0.18 * shot.warmth];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const u = x / width - 0.5;
      const v = y / height - 0.5;
      const side = 0.5 + (u * Math.cos(angle) + v * Math.sin(angle)) / Math.SQRT2;
      const vignette = 1 - 0.45 * (u * u + v * v) ** 1.2;
      const gain = shot.exposure * vignette * (1 - shot.falloff * (1 - side));
      const away = Math.hypot(u + 0.5 - shot.glare.x, (v + 0.5 - shot.glare.y) * (height / width)) / 0.18;
      const glare = shot.glare.level * Math.exp(-0.5 * away * away);
      const at = (y * width + x) * 3;
      for (let c = 0; c < 3; c++) light[at + c] = (light[at + c] as number) * gain * (tint[c] as number) + glare;
    }
  }
}

/** Shot noise grows with the square root of the light; a small part of it is there in the dark as well. */
function addSensorNoise(light: Float32Array, level: number, random: Random): void {
  for (let i = 0; i < light.length; i++) {
    const value = light[i] as number;
    light[i] = value + level * Math.sqrt(Math.max(0, value) + 0.004) * random.normal();
  }
}

function gaussian(sigma: number): number[] {
  const radius = Math.ceil(3 * sigma);
  const weights = Array.from({ length: 2 * radius + 1 }, (_, i) =>
    Math.exp(-0.5 * ((i - radius) / Math.max(sigma, 1e-6)) ** 2),
  );
  const sum = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / sum);
}

function box(length: number): number[] {
  const count = 2 * Math.floor(length / 2) + 1;
  return Array.from({ length: count }, () => 1 / count);
}

/** One-dimensional convolution of interleaved RGB; the border pixel is repeated. */
function filterAlong(
  light: Float32Array,
  width: number,
  height: number,
  weights: readonly number[],
  axis: 'x' | 'y',
): Float32Array {
  const radius = (weights.length - 1) / 2;
  const result = new Float32Array(light.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let tap = 0; tap < weights.length; tap++) {
        const offset = tap - radius;
        const fromX = axis === 'x' ? Math.max(0, Math.min(width - 1, x + offset)) : x;
        const fromY = axis === 'y' ? Math.max(0, Math.min(height - 1, y + offset)) : y;
        const from = (fromY * width + fromX) * 3;
        const to = (y * width + x) * 3;
        for (let c = 0; c < 3; c++)
          result[to + c] = (result[to + c] as number) + (weights[tap] as number) * (light[from + c] as number);
      }
    }
  }
  return result;
}
