/** The factory camera's scenes: a printed label on a box, a steel plate or a plastic crate, seen at an angle. */
import { seededRandom } from '../random.ts';
import type { Shot } from './camera.ts';

export const LABEL_WIDTH = 800;
export const LABEL_HEIGHT = 600;

type Surface = 'cardboard' | 'steel' | 'crate';

export interface LabelScene {
  readonly name: string;
  readonly lines: readonly string[];
  readonly font: string;
  readonly surface: Surface;
  /** Rotation in the picture's plane; near 180 the box lies upside down. */
  readonly turnDegrees: number;
  /** Tilt of the surface away from the camera, about the horizontal and the vertical axis. */
  readonly pitchDegrees: number;
  readonly yawDegrees: number;
  readonly shot: Shot;
}

const SANS = "'Liberation Sans'";
const NARROW = "'Liberation Sans Narrow'";
const MONO = "'Liberation Mono'";
const DEJAVU = "'DejaVu Sans'";
const DEJAVU_MONO = "'DejaVu Sans Mono'";

const products: readonly (readonly [string, string, Surface, number, number, number, readonly string[]])[] = [
  ['pump', SANS, 'cardboard', -3, 12, -8, ['HYDRAULIC PUMP', 'S/N 4471-90826', 'BATCH B7-1142', '2026-03-17']],
  ['bearing', NARROW, 'steel', 4, -10, 14, ['BALL BEARING 6205', 'S/N 8830-15527', 'BATCH K2-0938', '2026-02-04']],
  ['valve', MONO, 'cardboard', 178, 10, 6, ['CONTROL VALVE', 'S/N 2093-66180', 'BATCH V4-3071', '2025-11-29']],
  ['sensor', DEJAVU, 'crate', -6, 16, 4, ['PRESSURE SENSOR', 'S/N 7715-40392', 'BATCH P9-2264', '2026-01-12']],
  ['motor', SANS, 'steel', 2, 8, -16, ['SERVO MOTOR 400W', 'S/N 5068-27314', 'BATCH M1-7730', '2026-04-08']],
  ['filter', DEJAVU_MONO, 'cardboard', -176, -8, -10, ['OIL FILTER', 'S/N 3349-81075', 'BATCH F6-1958', '2025-12-21']],
  ['gear', NARROW, 'crate', 7, 14, -6, ['GEAR BOX 12:1', 'S/N 9924-53861', 'BATCH G3-4406', '2026-05-15']],
  ['relay', SANS, 'cardboard', 1, -14, 10, ['SAFETY RELAY', 'S/N 6182-09743', 'BATCH R8-5512', '2026-03-02']],
  ['cable', DEJAVU, 'steel', 183, 12, -4, ['CABLE SET 5 m', 'S/N 1507-38269', 'BATCH C5-8023', '2026-02-27']],
  ['nozzle', MONO, 'crate', -4, 6, 15, ['SPRAY NOZZLE', 'S/N 4836-72910', 'BATCH N2-6617', '2025-10-30']],
  ['seal', DEJAVU, 'cardboard', 9, 10, 8, ['SHAFT SEAL 35x52', 'S/N 7290-16453', 'BATCH S7-3385', '2026-04-19']],
  ['board', DEJAVU_MONO, 'steel', -2, -12, -12, ['DRIVER BOARD', 'S/N 2651-94078', 'BATCH D4-2790', '2026-01-26']],
];

export const labelScenes: readonly LabelScene[] = products.map(
  ([name, font, surface, turn, pitch, yaw, lines], index) => {
    const random = seededRandom(1000 + index);
    return {
      name,
      lines,
      font,
      surface,
      turnDegrees: turn,
      pitchDegrees: pitch,
      yawDegrees: yaw,
      shot: {
        seed: 2000 + index,
        blurPx: random.between(0.6, 1.1),
        motionPx: index % 4 === 1 ? 3 : 0,
        exposure: random.between(0.8, 1.05),
        warmth: random.between(-0.5, 1),
        falloff: random.between(0.25, 0.6),
        lightDegrees: random.between(0, 360),
        glare: { level: random.between(0, 0.12), x: random.between(0.2, 0.8), y: random.between(0.1, 0.9) },
        noise: random.between(0.02, 0.045),
      },
    };
  },
);

const surfaces: Readonly<Record<Surface, { base: string; grain: string; frequency: string; belt: string }>> = {
  cardboard: {
    base: 'linear-gradient(100deg,#b98d5c,#a87d4e 60%,#9c7145)',
    grain: '0 0 0 0 .25  0 0 0 0 .16  0 0 0 0 .08  0 0 0 .9 -.28',
    frequency: '0.02 0.7',
    belt: '#2c2f31',
  },
  steel: {
    base: 'linear-gradient(75deg,#8d9499,#b9c0c4 35%,#9aa1a6 55%,#c3c9cc 75%,#868d92)',
    grain: '0 0 0 0 .1  0 0 0 0 .1  0 0 0 0 .12  0 0 0 .8 -.3',
    frequency: '0.9 0.004',
    belt: '#3b3c3a',
  },
  crate: {
    base: 'linear-gradient(160deg,#35608f,#2a4f79 50%,#244468)',
    grain: '0 0 0 0 0  0 0 0 0 .05  0 0 0 0 .12  0 0 0 .5 -.2',
    frequency: '0.35 0.4',
    belt: '#6a655c',
  },
};

function texture(id: string, frequency: string, matrix: string, seed: number): string {
  return `<svg class="texture"><filter id="${id}" x="0" y="0" width="100%" height="100%"><feTurbulence type="fractalNoise"
    baseFrequency="${frequency}" numOctaves="4" seed="${seed}"/><feColorMatrix values="${matrix}"/></filter>
    <rect width="100%" height="100%" filter="url(#${id})"/></svg>`;
}

/** Bars of random width: the look of a barcode. What it would say is nobody's truth here. */
function bars(seed: number): string {
  const random = seededRandom(seed);
  const widths = Array.from({ length: 46 }, () => 1.6 * Math.ceil(random.between(0, 3)));
  let x = 0;
  const rects = widths.map((width, index) => {
    x += width;
    return index % 2 ? '' : `<rect x="${x - width}" width="${width}" height="44"/>`;
  });
  return `<svg class="bars" width="${x}" height="44">${rects.join('')}</svg>`;
}

/** The scene as a web page of LABEL_WIDTH × LABEL_HEIGHT. */
export function labelPage(scene: LabelScene): string {
  const surface = surfaces[scene.surface];
  const seed = scene.shot.seed;
  const [title, ...rest] = scene.lines;
  const transform = `rotateX(${scene.pitchDegrees}deg) rotateY(${scene.yawDegrees}deg) rotateZ(${scene.turnDegrees}deg)`;
  return `<!doctype html><meta charset="utf-8"><style>
  body { margin: 0; width: ${LABEL_WIDTH}px; height: ${LABEL_HEIGHT}px; overflow: hidden; background: ${surface.belt}; }
  .texture { position: absolute; inset: 0; width: 100%; height: 100%; }
  .belt { position: absolute; inset: 0; background: repeating-linear-gradient(90deg, #0000 0 118px, #0006 118px 122px, #fff1 122px 124px); }
  .camera { position: absolute; inset: 0; perspective: 1300px; display: grid; place-items: center; }
  .box { position: relative; width: 700px; height: 500px; background: ${surface.base}; border-radius: 6px; overflow: hidden;
    box-shadow: 0 0 0 2px #0003, 16px 24px 40px 8px #000a; transform: ${transform}; display: grid; place-items: center; }
  .tape { position: absolute; left: 0; right: 0; top: 34px; height: 62px; background: linear-gradient(#d8c9a266, #e9dfc08c 40%, #c9b98e66); }
  .ridge { position: absolute; inset: 0; background: repeating-linear-gradient(90deg, #0000 0 92px, #fff2 92px 95px, #0004 95px 100px); }
  .label { position: relative; width: 500px; padding: 22px 28px; background: linear-gradient(120deg, #fbfaf6, #f1f0ea); color: #17181a;
    border-radius: 7px; box-shadow: 1px 2px 4px #0008; font: 600 33px ${scene.font}; line-height: 54px; white-space: nowrap;
    word-spacing: 0.15em; }
  .title { font-size: 40px; font-weight: 700; border-bottom: 3px solid #17181a; padding-bottom: 10px; margin-bottom: 12px; line-height: 50px; }
  .bars { position: absolute; right: 26px; bottom: 24px; fill: #17181a; }
  .wear { mix-blend-mode: screen; }
  </style><div class="belt"></div>${texture('dust', '0.9 0.9', '0 0 0 0 .5  0 0 0 0 .5  0 0 0 0 .5  0 0 0 .5 -.2', seed)}
  <div class="camera"><div class="box">${texture('grain', surface.frequency, surface.grain, seed + 1)}
  ${scene.surface === 'cardboard' ? '<div class="tape"></div>' : ''}${scene.surface === 'crate' ? '<div class="ridge"></div>' : ''}
  <div class="label"><div class="title">${title}</div>${rest.map((line) => `<div>${line}</div>`).join('')}${bars(seed)}
  <div class="wear">${texture('wear', '0.04 0.5', '0 0 0 0 .9  0 0 0 0 .9  0 0 0 0 .9  0 0 0 1.6 -.95', seed + 2)}</div></div></div></div>`;
}
