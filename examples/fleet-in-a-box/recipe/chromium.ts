/** Draws a web page and returns its pixels; the drawings of labels and roads are pages. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Picture } from './camera.ts';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--hide-scrollbars',
  // Font smoothing by sub-pixels would leave coloured fringes that no camera sees.
  '--disable-lcd-text',
];

export function drawPage(html: string, width: number, height: number): Picture {
  const folder = mkdtempSync(join(tmpdir(), 'draw-'));
  try {
    const page = join(folder, 'page.html');
    const shot = join(folder, 'page.png');
    writeFileSync(page, html);
    execFileSync(
      'chromium',
      [
        ...FLAGS,
        `--user-data-dir=${join(folder, 'profile')}`,
        `--window-size=${width},${height}`,
        `--screenshot=${shot}`,
        `file://${page}`,
      ],
      { stdio: 'ignore', timeout: 60_000 },
    );
    const pixels = execFileSync('convert', [shot, '-crop', `${width}x${height}+0+0`, '-depth', '8', 'rgb:-'], {
      maxBuffer: 64e6,
    });
    if (pixels.length !== width * height * 3)
      throw new Error(`chromium drew ${pixels.length} bytes of pixels, expected ${width}x${height}x3`);
    return { width, height, pixels };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

export function encodeJpeg(picture: Picture, quality: number): Buffer {
  return execFileSync(
    'convert',
    [
      '-size',
      `${picture.width}x${picture.height}`,
      '-depth',
      '8',
      'rgb:-',
      '-sampling-factor',
      '4:2:0',
      '-quality',
      String(quality),
      'jpg:-',
    ],
    { input: picture.pixels, maxBuffer: 64e6 },
  );
}
