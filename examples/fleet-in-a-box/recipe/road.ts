/** A country road as a car's front camera sees it, drawn as SVG: everything but the sign. */
import { type Random, seededRandom } from '../random.ts';

export const ROAD_WIDTH = 960;
export const ROAD_HEIGHT = 540;

/** A pinhole camera 1.3 m above the road; x to the right, y up, z ahead, in metres. */
const FOCAL_PX = 880;
const EYE_M = 1.3;

export interface Light {
  readonly sky: readonly [string, string];
  readonly field: readonly [string, string];
  readonly leaves: readonly [string, string, string];
  readonly haze: string;
}

export interface View {
  readonly seed: number;
  /** Where the road meets the horizon, in pixels. */
  readonly horizonX: number;
  readonly horizonY: number;
  readonly light: Light;
  /** Distance of a car ahead in metres, if any. */
  readonly carM?: number;
  readonly carColour?: string;
  readonly houses: boolean;
}

export interface Point {
  readonly x: number;
  readonly y: number;
}

export function project(view: View, x: number, y: number, z: number): Point {
  return { x: view.horizonX + (FOCAL_PX * x) / z, y: view.horizonY + (FOCAL_PX * (EYE_M - y)) / z };
}

/** Pixels a metre at distance z. */
export const scaleAt = (z: number) => FOCAL_PX / z;

const text = (point: Point) => `${point.x.toFixed(1)},${point.y.toFixed(1)}`;

function polygon(points: readonly Point[], attributes: string): string {
  return `<polygon points="${points.map(text).join(' ')}" ${attributes}/>`;
}

/** A strip that lies on the ground between two distances. */
function strip(view: View, left: number, right: number, near: number, far: number, attributes: string): string {
  const corners = [
    project(view, left, 0, near),
    project(view, left, 0, far),
    project(view, right, 0, far),
    project(view, right, 0, near),
  ];
  return polygon(corners, attributes);
}

export function drawRoad(view: View): string {
  const random = seededRandom(view.seed);
  const far = drawHills(view, random) + drawFarWood(view, random);
  return `${definitions(view)}<rect width="${ROAD_WIDTH}" height="${ROAD_HEIGHT}" fill="url(#sky)"/>
  <rect width="${ROAD_WIDTH}" height="${view.horizonY}" filter="url(#clouds)"/>${far}
  <rect y="${view.horizonY}" width="${ROAD_WIDTH}" height="${ROAD_HEIGHT}" fill="url(#field)"/>
  ${drawGrass(view)}
  ${drawAsphalt(view)}${drawRoadside(view, random)}${view.carM ? drawCar(view, view.carM, view.carColour ?? '#5b1f22') : ''}`;
}

function definitions(view: View): string {
  const { sky, field } = view.light;
  return `<defs><linearGradient id="sky" x2="0" y2="1"><stop stop-color="${sky[0]}"/><stop offset=".5" stop-color="${sky[1]}"/></linearGradient>
  <linearGradient id="field" x2="0" y2=".5"><stop stop-color="${field[0]}"/><stop offset="1" stop-color="${field[1]}"/></linearGradient>
  <linearGradient id="asphalt" x2="0" y2="1"><stop stop-color="#84858a"/><stop offset=".3" stop-color="#66676b"/><stop offset="1" stop-color="#4c4d50"/></linearGradient>
  ${noise('clouds', view.seed, '0.004 0.014', 5, '0 0 0 0 1  0 0 0 0 1  0 0 0 0 1  1.6 0 0 0 -.65')}
  ${noise('tar', view.seed, '0.5 0.9', 3, '0 0 0 0 .08  0 0 0 0 .08  0 0 0 0 .09  0 0 1.2 0 -.42')}
  ${noise('patches', view.seed, '0.003 0.02', 5, '0 0 0 0 .05  0 0 0 0 .05  0 0 0 0 .06  0 1.2 0 0 -.45')}
  <filter id="leafy" x="-20%" y="-20%" width="140%" height="140%"><feTurbulence type="fractalNoise" baseFrequency=".16" numOctaves="3" seed="${view.seed}"/>
  <feDisplacementMap in="SourceGraphic" scale="9" xChannelSelector="R" yChannelSelector="G"/></filter>
  <filter id="soft"><feGaussianBlur stdDeviation="5 2"/></filter></defs>`;
}

function drawHills(view: View, random: Random): string {
  return [0.5, 0.8]
    .map((opacity, index) => {
      const phase = random.between(0, 6);
      const points = Array.from({ length: 41 }, (_, i) => ({
        x: i * 24,
        y: view.horizonY - (34 - 16 * index) - 14 * Math.sin(i * 0.21 + phase) - 6 * Math.sin(i * 0.57 + 2 * phase),
      }));
      const ends = [
        { x: ROAD_WIDTH, y: view.horizonY + 2 },
        { x: 0, y: view.horizonY + 2 },
      ];
      return polygon([...points, ...ends], `fill="${view.light.haze}" opacity="${opacity}"`);
    })
    .join('');
}

function drawFarWood(view: View, random: Random): string {
  const blobs = Array.from({ length: 160 }, () => {
    const radius = random.between(4, 11);
    return `<circle cx="${random.between(0, ROAD_WIDTH).toFixed(0)}" cy="${(view.horizonY - random.between(0, 9)).toFixed(1)}" r="${radius.toFixed(1)}"/>`;
  });
  return `<g fill="${view.light.leaves[0]}" opacity=".75">${blobs.join('')}</g>`;
}

/** Blades of grass look larger towards the camera: three bands of ever coarser noise. */
function drawGrass(view: View): string {
  return [
    ['0.05 0.9', 0, 22],
    ['0.07 0.4', 18, 70],
    ['0.06 0.16', 60, ROAD_HEIGHT],
  ]
    .map(
      ([frequency, from, to], index) =>
        `${noise(`grass${index}`, view.seed, String(frequency), 4, '0 0 0 0 .12  0 0 0 0 .15  0 0 0 0 .05  0 1.5 0 0 -.58')}
  <rect y="${view.horizonY + Number(from)}" width="${ROAD_WIDTH}" height="${Number(to) - Number(from)}" filter="url(#grass${index})"/>`,
    )
    .join('');
}

function noise(id: string, seed: number, frequency: string, octaves: number, matrix: string): string {
  return `<filter id="${id}" x="0" y="0" width="100%" height="100%"><feTurbulence type="fractalNoise" baseFrequency="${frequency}"
  numOctaves="${octaves}" seed="${seed}"/><feColorMatrix values="${matrix}"/></filter>`;
}

function drawAsphalt(view: View): string {
  const far = 600;
  const dashes = Array.from({ length: 24 }, (_, i) =>
    strip(view, -1.81, -1.69, 3.4 + 9 * i, 6.4 + 9 * i, 'fill="#d8d8d3" opacity=".88"'),
  );
  const corners = [
    project(view, -6.3, 0, 1.4),
    project(view, -6.3, 0, far),
    project(view, 2.9, 0, far),
    project(view, 2.9, 0, 1.4),
  ];
  const shape = corners.map(text).join(' ');
  return `${strip(view, -6.3, 2.9, 1.4, far, 'fill="#8b8470"')}${strip(view, -5.4, 1.9, 1.4, far, 'fill="url(#asphalt)"')}
  <clipPath id="lane"><polygon points="${shape}"/></clipPath><g clip-path="url(#lane)">
  <rect y="${view.horizonY}" width="${ROAD_WIDTH}" height="${ROAD_HEIGHT}" filter="url(#tar)"/>
  <rect y="${view.horizonY}" width="${ROAD_WIDTH}" height="${ROAD_HEIGHT}" filter="url(#patches)"/></g>
  ${strip(view, -5.2, -5.05, 1.4, far, 'fill="#d3d3ce" opacity=".8"')}${strip(view, 1.5, 1.65, 1.4, far, 'fill="#d9d9d4" opacity=".85"')}${dashes.join('')}`;
}

/** Trees, houses and delineator posts from far to near, so that the near ones cover the far ones. */
function drawRoadside(view: View, random: Random): string {
  const things: { z: number; svg: string }[] = [];
  for (let i = 0; i < 26; i++) {
    const z = random.between(24, 190);
    const side = i % 2 ? -1 : 1;
    things.push({ z, svg: drawTree(view, random, side * random.between(8, 22) - 1.7, z, random.between(5, 10)) });
  }
  if (view.houses)
    for (const [x, z] of [
      [-17, 62],
      [15, 88],
      [-15, 110],
    ] as const)
      things.push({ z, svg: drawHouse(view, random, x, z) });
  for (let z = 12; z < 150; z += 25) for (const x of [-6, 2.5]) things.push({ z, svg: drawPost(view, x, z) });
  return things
    .sort((a, b) => b.z - a.z)
    .map((thing) => thing.svg)
    .join('');
}

function drawTree(view: View, random: Random, x: number, z: number, height: number): string {
  const foot = project(view, x, 0, z);
  const scale = scaleAt(z);
  const crown = height * 0.34;
  const centre = height * 0.62;
  const haze = Math.min(0.55, z / 340);
  const [dark, middle, bright] = view.light.leaves;
  const leaves = Array.from({ length: 190 }, (_, i) => {
    const angle = random.between(0, 2 * Math.PI);
    const away = crown * Math.sqrt(random.next()) * random.between(0.75, 1.05);
    const across = away * Math.cos(angle);
    const up = away * Math.sin(angle) * 1.15;
    // Sunlight falls on the upper left; what is painted first lies deeper inside and darker.
    const lit = 0.5 + (0.5 * up - 0.3 * across) / crown + 0.35 * (i / 190 - 0.5) + random.between(-0.2, 0.2);
    const colour = lit < 0.5 ? mix(dark, middle, Math.max(0, 2 * lit)) : mix(middle, bright, Math.min(1, 2 * lit - 1));
    return circle(
      foot.x + across * scale,
      foot.y - (centre + up) * scale,
      crown * random.between(0.07, 0.17) * scale,
      mix(colour, view.light.haze, haze),
    );
  });
  const trunk = 0.13 * scale;
  const top = foot.y - centre * scale;
  return `<ellipse cx="${foot.x.toFixed(1)}" cy="${foot.y.toFixed(1)}" rx="${(crown * scale).toFixed(1)}" ry="${(0.14 * crown * scale).toFixed(1)}" fill="#1c2412" opacity=".45" filter="url(#soft)"/>
  <polygon points="${foot.x - trunk},${foot.y} ${foot.x - 0.5 * trunk},${top} ${foot.x + 0.5 * trunk},${top} ${foot.x + trunk},${foot.y}" fill="${mix('#3c3126', view.light.haze, haze)}"/>
  <g filter="url(#leafy)">${leaves.join('')}</g>`;
}

function circle(x: number, y: number, radius: number, fill: string): string {
  return `<circle cx="${x.toFixed(1)}" cy="${y.toFixed(1)}" r="${radius.toFixed(1)}" fill="${fill}"/>`;
}

/** From one #rrggbb to another. */
function mix(from: string, to: string, part: number): string {
  const channel = (colour: string, index: number) => Number.parseInt(colour.slice(1 + 2 * index, 3 + 2 * index), 16);
  const mixed = [0, 1, 2].map((index) => Math.round(channel(from, index) * (1 - part) + channel(to, index) * part));
  return `#${mixed.map((value) => value.toString(16).padStart(2, '0')).join('')}`;
}

function drawHouse(view: View, random: Random, x: number, z: number): string {
  const wall = random.next() < 0.5 ? '#d9d2c3' : '#c9b7a2';
  const width = 9;
  const at = (dx: number, y: number) => project(view, x + dx, y, z);
  const windows = [-3, 0, 3].map((dx) =>
    polygon(
      [at(dx - 0.6, 1.2), at(dx - 0.6, 2.6), at(dx + 0.6, 2.6), at(dx + 0.6, 1.2)],
      'fill="#3c444c" stroke="#eee" stroke-width="1"',
    ),
  );
  return `<g opacity=".92">${polygon([at(-width / 2, 0), at(-width / 2, 3.6), at(width / 2, 3.6), at(width / 2, 0)], `fill="${wall}"`)}
  ${polygon([at(-width / 2 - 0.5, 3.5), at(-width / 2 + 1.6, 6.8), at(width / 2 - 1.6, 6.8), at(width / 2 + 0.5, 3.5)], 'fill="#7c4436"')}${windows.join('')}</g>`;
}

/** A German delineator: white, a slanted black band, a reflector. */
function drawPost(view: View, x: number, z: number): string {
  const at = (dx: number, y: number) => project(view, x + dx, y, z);
  const bar = (low: number, high: number, half: number, fill: string) =>
    polygon([at(-half, low), at(-half, high), at(half, high), at(half, low)], `fill="${fill}"`);
  return bar(0, 1, 0.06, '#e4e4df') + bar(0.66, 0.88, 0.06, '#26282a') + bar(0.7, 0.84, 0.03, '#c9cdd0');
}

function drawCar(view: View, z: number, colour: string): string {
  const at = (x: number, y: number) => text(project(view, x, y, z));
  const scale = scaleAt(z);
  const shadow = project(view, 0, 0, z);
  const lamp = (x: number) => {
    const p = project(view, x, 0.86, z);
    return `<rect x="${p.x - 0.14 * scale}" y="${p.y}" width="${0.28 * scale}" height="${0.17 * scale}" rx="${0.05 * scale}" fill="#b3221d"/>`;
  };
  const wheel = (x: number) => {
    const p = project(view, x, 0.32, z);
    return `<rect x="${p.x - 0.11 * scale}" y="${p.y}" width="${0.22 * scale}" height="${0.33 * scale}" rx="${0.06 * scale}" fill="#17181a"/>`;
  };
  return `<ellipse cx="${shadow.x}" cy="${shadow.y}" rx="${scale}" ry="${0.12 * scale}" fill="#000" opacity=".6" filter="url(#soft)"/>${wheel(-0.68)}${wheel(0.68)}
  <path d="M${at(-0.86, 0.3)} L${at(-0.9, 0.95)} Q${at(-0.8, 1.05)} ${at(-0.74, 1.1)} L${at(-0.58, 1.42)} Q${at(0, 1.5)} ${at(0.58, 1.42)} L${at(0.74, 1.1)} Q${at(0.8, 1.05)} ${at(0.9, 0.95)} L${at(0.86, 0.3)} Z" fill="${colour}"/>
  <path d="M${at(-0.66, 1.08)} L${at(-0.53, 1.37)} Q${at(0, 1.43)} ${at(0.53, 1.37)} L${at(0.66, 1.08)} Z" fill="#2b3238"/>
  <path d="M${at(-0.86, 0.3)} L${at(-0.87, 0.48)} L${at(0.87, 0.48)} L${at(0.86, 0.3)} Z" fill="#1d1e20"/>
  <path d="M${at(-0.26, 0.56)} L${at(-0.26, 0.67)} L${at(0.26, 0.67)} L${at(0.26, 0.56)} Z" fill="#dcdcd6"/>${lamp(-0.73)}${lamp(0.73)}`;
}
