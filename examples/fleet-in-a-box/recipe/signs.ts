/** The vehicle camera's scenes: a road and, on most of them, a traffic sign at the right edge of it. */
import { seededRandom } from '../random.ts';
import type { Shot } from './camera.ts';
import { drawRoad, type Light, project, ROAD_HEIGHT, ROAD_WIDTH, scaleAt, type View } from './road.ts';

type Sign =
  | { readonly kind: 'limit'; readonly kmh: number }
  | { readonly kind: 'stop' }
  | { readonly kind: 'yield' }
  | { readonly kind: 'town'; readonly name: string };

export interface RoadScene {
  readonly name: string;
  readonly sign?: Sign;
  readonly signM: number;
  /** The sign's turn about its post. */
  readonly yawDegrees: number;
  readonly tiltDegrees: number;
  readonly view: View;
  readonly shot: Shot;
}

const lights: Readonly<Record<'noon' | 'overcast' | 'evening' | 'autumn', Light>> = {
  noon: {
    sky: ['#4f86bf', '#cfe0ea'],
    field: ['#8d9a55', '#66793a'],
    leaves: ['#2c4320', '#456a2d', '#6f9440'],
    haze: '#8fa6b3',
  },
  overcast: {
    sky: ['#a3aaaf', '#d3d6d6'],
    field: ['#8a8f60', '#5f6a41'],
    leaves: ['#2b3a25', '#415537', '#586d47'],
    haze: '#9aa3a6',
  },
  evening: {
    sky: ['#6d7ba0', '#f2c892'],
    field: ['#8f7f4a', '#5d5a33'],
    leaves: ['#2a2f1b', '#4a4c26', '#7d7136'],
    haze: '#a08f8d',
  },
  autumn: {
    sky: ['#7fa3c2', '#dfe3df'],
    field: ['#a59a62', '#7c7442'],
    leaves: ['#5b3a1c', '#94602a', '#c0903c'],
    haze: '#a2a9ab',
  },
};

const frames: readonly (readonly [string, Sign | undefined, number, keyof typeof lights, Partial<View>])[] = [
  ['limit-50-noon', { kind: 'limit', kmh: 50 }, 9, 'noon', { houses: true }],
  ['limit-100-overcast', { kind: 'limit', kmh: 100 }, 10, 'overcast', { carM: 30 }],
  ['limit-30-evening', { kind: 'limit', kmh: 30 }, 8.5, 'evening', { houses: true }],
  ['limit-70-autumn', { kind: 'limit', kmh: 70 }, 11, 'autumn', {}],
  ['limit-120-noon', { kind: 'limit', kmh: 120 }, 9.5, 'noon', { carM: 45, carColour: '#23395a' }],
  ['limit-60-overcast', { kind: 'limit', kmh: 60 }, 10, 'overcast', {}],
  ['limit-80-evening', { kind: 'limit', kmh: 80 }, 9, 'evening', { carM: 24, carColour: '#8b9094' }],
  ['limit-50-autumn', { kind: 'limit', kmh: 50 }, 12, 'autumn', { houses: true }],
  ['limit-30-overcast', { kind: 'limit', kmh: 30 }, 10.5, 'overcast', { houses: true }],
  ['stop-noon', { kind: 'stop' }, 9.5, 'noon', {}],
  ['yield-overcast', { kind: 'yield' }, 10, 'overcast', { carM: 38 }],
  ['town-autumn', { kind: 'town', name: 'Holmstedt' }, 11, 'autumn', { houses: true }],
  ['empty-evening', undefined, 0, 'evening', { carM: 20, carColour: '#2f3133' }],
];

export const roadScenes: readonly RoadScene[] = frames.map(([name, sign, signM, light, view], index) => {
  const random = seededRandom(5000 + index);
  return {
    name,
    sign,
    signM,
    yawDegrees: random.between(-24, 10),
    tiltDegrees: random.between(-4, 4),
    view: {
      seed: 5100 + index,
      horizonX: random.between(400, 500),
      horizonY: random.between(225, 265),
      light: lights[light],
      houses: false,
      ...view,
    },
    shot: {
      seed: 5200 + index,
      blurPx: random.between(0.7, 1.05),
      motionPx: index % 3 === 2 ? 3 : 0,
      exposure: light === 'evening' ? 0.62 : random.between(0.82, 1),
      warmth: light === 'evening' ? 0.8 : random.between(-0.3, 0.3),
      falloff: random.between(0.05, 0.25),
      lightDegrees: random.between(-120, -60),
      glare: { level: light === 'evening' ? 0.1 : 0.03, x: random.between(0.1, 0.5), y: 0.1 },
      noise: random.between(0.02, 0.04),
    },
  };
});

/** The scene as a web page of ROAD_WIDTH × ROAD_HEIGHT. */
export function roadPage(scene: RoadScene): string {
  return `<!doctype html><meta charset="utf-8"><body style="margin:0"><svg width="${ROAD_WIDTH}" height="${ROAD_HEIGHT}" style="display:block">
  ${drawRoad(scene.view)}${scene.sign ? drawSign(scene, scene.sign) : ''}${drawBonnet(scene.view.seed)}</svg>`;
}

/** The plate is drawn in a space of 100 units a diameter; its post stands 2.6 m right of the lane's middle. */
function drawSign(scene: RoadScene, sign: Sign): string {
  const { view, signM } = scene;
  const diameterM = sign.kind === 'town' ? 0.9 : 0.72;
  const centre = project(view, 2.75, 2.15, signM);
  const foot = project(view, 2.75, 0, signM);
  const scale = scaleAt(signM);
  const unit = (diameterM * scale) / 100;
  const squeeze = Math.cos((scene.yawDegrees * Math.PI) / 180);
  const post = 0.035 * scale;
  return `<defs><linearGradient id="post"><stop stop-color="#6d7276"/><stop offset=".35" stop-color="#c3c8cb"/><stop offset="1" stop-color="#54585b"/></linearGradient>
  <linearGradient id="sheen" x2=".4" y2="1"><stop stop-color="#fff" stop-opacity=".16"/><stop offset=".55" stop-color="#000" stop-opacity="0"/><stop offset="1" stop-color="#000" stop-opacity=".22"/></linearGradient>
  <filter id="dirt" x="0" y="0" width="100%" height="100%"><feTurbulence type="fractalNoise" baseFrequency=".05 .02" numOctaves="4" seed="${view.seed}"/>
  <feColorMatrix values="0 0 0 0 .3  0 0 0 0 .26  0 0 0 0 .2  0 1.6 0 0 -.8"/><feComposite in2="SourceGraphic" operator="in"/></filter></defs>
  <ellipse cx="${foot.x + 30}" cy="${foot.y}" rx="40" ry="4" fill="#000" opacity=".35" filter="url(#soft)"/>
  <rect x="${foot.x - post}" y="${centre.y}" width="${2 * post}" height="${foot.y - centre.y}" fill="url(#post)"/>
  <g transform="translate(${centre.x} ${centre.y}) rotate(${scene.tiltDegrees}) skewY(${scene.yawDegrees / 5}) scale(${unit * squeeze} ${unit})">${plate(sign)}</g>`;
}

const FACE = `font-family="'DejaVu Sans Condensed','DejaVu Sans'" font-weight="700" text-anchor="middle"`;

function plate(sign: Sign): string {
  if (sign.kind === 'limit') {
    const size = sign.kmh >= 100 ? 38 : 50;
    return `<circle r="51" fill="#9fa3a4"/><circle r="50" fill="#ececea"/><circle r="42" fill="none" stroke="#b5161c" stroke-width="14"/>
    <text y="${size * 0.36}" font-size="${size}" ${FACE} fill="#141516">${sign.kmh}</text><circle r="50" fill="url(#sheen)"/><circle r="50" filter="url(#dirt)"/>`;
  }
  if (sign.kind === 'stop') {
    const corner = (radius: number) =>
      Array.from(
        { length: 8 },
        (_, i) => `${radius * Math.cos(((i + 0.5) * Math.PI) / 4)},${radius * Math.sin(((i + 0.5) * Math.PI) / 4)}`,
      ).join(' ');
    return `<polygon points="${corner(56)}" fill="#e9e9e6"/><polygon points="${corner(53)}" fill="#ad1419"/>
    <text y="12" font-size="34" ${FACE} fill="#f2f2ef">STOP</text><polygon points="${corner(56)}" fill="url(#sheen)"/>`;
  }
  if (sign.kind === 'yield')
    return `<path d="M-56,-42 L56,-42 L0,54 Z" fill="#b5161c" stroke="#b5161c" stroke-width="8" stroke-linejoin="round"/><path d="M-38,-32 L38,-32 L0,34 Z" fill="#ececea"/>
    <path d="M-56,-42 L56,-42 L0,54 Z" fill="url(#sheen)"/>`;
  return `<rect x="-75" y="-30" width="150" height="56" rx="4" fill="#e0b21c" stroke="#1b1b1b" stroke-width="2.5"/><text y="8" font-size="24" ${FACE} fill="#17181a">${sign.name}</text>
  <rect x="-75" y="-30" width="150" height="56" fill="url(#sheen)"/>`;
}

/** The car's own bonnet along the lower edge, and what the windscreen reflects of the dashboard. */
function drawBonnet(seed: number): string {
  const top = ROAD_HEIGHT - 34 - (seed % 9);
  return `<defs><linearGradient id="bonnet" x2="0" y2="1"><stop stop-color="#565d66"/><stop offset=".25" stop-color="#23272d"/><stop offset="1" stop-color="#0d0f12"/></linearGradient>
  <linearGradient id="screen" x2="0" y2="1"><stop offset=".6" stop-color="#fff" stop-opacity="0"/><stop offset="1" stop-color="#dfe6ea" stop-opacity=".14"/></linearGradient></defs>
  <path d="M0,${top + 26} Q${ROAD_WIDTH * 0.22},${top} ${ROAD_WIDTH / 2},${top - 4} T${ROAD_WIDTH},${top + 24} V${ROAD_HEIGHT} H0 Z" fill="url(#bonnet)"/>
  <rect width="${ROAD_WIDTH}" height="${ROAD_HEIGHT}" fill="url(#screen)"/>`;
}
