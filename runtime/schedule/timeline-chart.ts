/** A timeline as a picture: a Gantt chart in SVG, for light and dark. Above what each core did, below what became of each run. */

import { PRIORITIES } from './priorities.ts';
import { className, explainRun, placesOf, type TimelineRun } from './timeline.ts';

/** Runs that are shown; a taller picture is no clearer. */
const RUNS_MAX = 60;
const [WIDTH, LEFT, RIGHT, TOP] = [1200, 190, 20, 84];
const [ROW, BAR, CORE_ROW, CORE_BAR] = [20, 12, 30, 22];
const TICKS = 10;
/** About what a letter of the labels is wide. */
const LETTER = 6.2;

/** By class, most urgent first. Told apart by those who see no red, green or blue, and by lightness (Okabe, Ito 2008). */
const COLOURS = ['#d55e00', '#e69f00', '#0072b2', '#8c8c8c'];
const DARK = ['#ff8a3d', '#f2c14e', '#56b4e9', '#9a9a9a'];

const STYLE = `
  svg { background: #ffffff; font: 11px system-ui, sans-serif }
  text { fill: #1f2328 } .dim { fill: #656d76 } .title { font-size: 15px; font-weight: 600 }
  .grid { stroke: #d8dee4 } .wait { stroke: #8c959f; stroke-width: 2 } .load { stroke-dasharray: 2 3 } .deadline { stroke: #1f2328; stroke-width: 2 }
  .in { fill: #ffffff; font-weight: 600; pointer-events: none } .in.c1 { fill: #1f2328 }
${COLOURS.map((colour, i) => `  .c${i}.bar { fill: ${colour} }`).join('\n')}
  @media (prefers-color-scheme: dark) {
    svg { background: #0d1117 } text { fill: #e6edf3 } .dim { fill: #9198a1 }
    .grid { stroke: #30363d } .wait { stroke: #6e7681 } .deadline { stroke: #e6edf3 } .in, .in.c1 { fill: #0d1117 }
${DARK.map((colour, i) => `    .c${i}.bar { fill: ${colour} }`).join('\n')}
  }`;

/** Of a run, until its model was ready and on: as they stand in the picture. */
type Ends = [from: string, ready: string, until: string];

type Computed = TimelineRun & { readonly account: NonNullable<TimelineRun['account']> };

/** Throws an Error when no run was admitted: there is nothing to show. */
export function timelineChart(runs: readonly TimelineRun[], title: string): string {
  const computed = runs
    .filter((run): run is Computed => run.account !== undefined)
    .sort((a, b) => a.account.submittedUs - b.account.submittedUs);
  if (computed.length === 0) throw new Error('timeline: expected at least one run that was admitted, got none');
  const shown = computed.slice(0, RUNS_MAX);
  const fromUs = Math.min(...shown.map(({ account }) => account.submittedUs));
  const untilUs = Math.max(...shown.map(({ account }) => account.endedUs));
  const scale = (WIDTH - LEFT - RIGHT) / Math.max(1, untilUs - fromUs);
  const x = (us: number): number => LEFT + (Math.min(Math.max(us, fromUs), untilUs) - fromUs) * scale;
  // The cores also work for runs that came later than those shown.
  const working = computed.filter(({ account }) => account.submittedUs < untilUs);
  const places = placesOf(working);
  const runsTop = TOP + places.length * CORE_ROW + 34;
  const height = runsTop + shown.length * ROW + 20;
  const refused = runs.length - computed.length;
  const more = [
    computed.length > shown.length ? `the first ${shown.length} of ${computed.length} runs` : `${shown.length} runs`,
    refused > 0 ? `${refused} refused` : '',
  ].filter(Boolean);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" width="${WIDTH}" height="${height}" role="img" aria-label="${escaped(title)}">`,
    `<style>${STYLE}\n</style>`,
    `<text class="title" x="16" y="26">${escaped(title)}</text>`,
    `<text class="dim" x="16" y="44">${more.join(', ')}</text>`,
    legend(),
    ...axis(fromUs, untilUs, x, height),
    ...places.flatMap((place, row) => placeRow(place, TOP + row * CORE_ROW, working, x)),
    `<text class="dim" x="16" y="${runsTop - 12}">runs by submission</text>`,
    ...shown.flatMap((run, row) => runRow(run, runsTop + row * ROW, x)),
    '</svg>',
  ];
  return `${parts.join('\n')}\n`;
}

function legend(): string {
  let at = WIDTH - RIGHT;
  const items: string[] = [];
  const put = (mark: (left: number) => string, text: string): void => {
    at -= text.length * LETTER + 34;
    items.push(`${mark(at)}<text x="${at + 18}" y="26">${text}</text>`);
  };
  put((left) => `<line class="deadline" x1="${left + 6}" x2="${left + 6}" y1="15" y2="29"/>`, 'deadline');
  put((left) => `<line class="wait" x1="${left}" x2="${left + 12}" y1="22" y2="22"/>`, 'waits');
  put((left) => `<line class="wait load" x1="${left}" x2="${left + 12}" y1="22" y2="22"/>`, 'for its model');
  for (const [priority, { name }] of [...PRIORITIES.entries()].reverse())
    put((left) => `<rect class="bar c${priority}" x="${left}" y="16" width="12" height="12" rx="2"/>`, name);
  return items.join('\n');
}

function axis(fromUs: number, untilUs: number, x: (us: number) => number, height: number): string[] {
  const step = niceStep((untilUs - fromUs) / TICKS);
  const digits = step < 1000 ? 1 : 0;
  const lines: string[] = [];
  for (let us = 0; us <= untilUs - fromUs; us += step) {
    const at = x(fromUs + us).toFixed(1);
    lines.push(`<line class="grid" x1="${at}" x2="${at}" y1="${TOP - 8}" y2="${height - 14}"/>`);
    lines.push(
      `<text class="dim" x="${at}" y="${TOP - 14}" text-anchor="middle">${(us / 1000).toFixed(digits)}${us === 0 ? ' ms' : ''}</text>`,
    );
  }
  return lines;
}

/** One, two or five times a power of ten, at least `step`. */
function niceStep(step: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(step, 1)));
  return ([1, 2, 5].find((factor) => factor * power >= step) ?? 10) * power;
}

function placeRow(
  { place, name }: { readonly place: number; readonly name: string },
  y: number,
  runs: readonly Computed[],
  x: (us: number) => number,
): string[] {
  const bars = runs.flatMap((run) =>
    run.account.slices
      .filter(({ cores, fromUs }) => cores.includes(place) && x(fromUs) < WIDTH - RIGHT)
      .map(({ fromUs, untilUs }) => {
        const label = `${run.request.model} ${run.request.id}`;
        const [left, width] = [x(fromUs), Math.max(1, x(untilUs) - x(fromUs))];
        const inside =
          label.length * LETTER < width - 6
            ? `<text class="in c${classOf(run)}" x="${(left + 4).toFixed(1)}" y="${y + CORE_BAR - 7}">${escaped(label)}</text>`
            : '';
        return bar(run, left, width, y, CORE_BAR) + inside;
      }),
  );
  return [`<text x="16" y="${y + CORE_BAR - 7}">${escaped(name)}</text>`, ...bars];
}

function runRow(run: Computed, y: number, x: (us: number) => number): string[] {
  const { request, account, outcome } = run;
  const middle = y + BAR / 2;
  const name = `${request.id} ${request.model}${outcome === 'done' ? '' : `, ${outcome}`}`;
  const most = Math.floor((LEFT - 30) / LETTER);
  const label = name.length > most ? `${name.slice(0, most - 1)}…` : name;
  const { submittedUs, readyUs, endedUs } = account;
  const [from, ready, until] = [submittedUs, readyUs ?? endedUs, endedUs].map((us) => x(us).toFixed(1)) as Ends;
  const parts = [
    `<text x="16" y="${y + BAR - 2}">${escaped(label)}</text>`,
    ...(readyUs !== submittedUs
      ? [`<line class="wait load" x1="${from}" x2="${ready}" y1="${middle}" y2="${middle}"/>`]
      : []),
    `<line class="wait" x1="${ready}" x2="${until}" y1="${middle}" y2="${middle}"/>`,
    ...account.slices.map(({ fromUs, untilUs }) => bar(run, x(fromUs), Math.max(1, x(untilUs) - x(fromUs)), y, BAR)),
  ];
  const { deadlineUs } = request;
  if (deadlineUs !== undefined && x(deadlineUs) < WIDTH - RIGHT)
    parts.push(
      `<line class="deadline" x1="${x(deadlineUs).toFixed(1)}" x2="${x(deadlineUs).toFixed(1)}" y1="${y - 2}" y2="${y + BAR + 2}"/>`,
    );
  return parts;
}

function bar(run: Computed, left: number, length: number, y: number, height: number): string {
  // A seam between runs that follow each other.
  const width = length > 2 ? length - 0.7 : length;
  const place = `x="${left.toFixed(1)}" y="${y}" width="${width.toFixed(1)}" height="${height}" rx="2"`;
  return `<rect class="bar c${classOf(run)}" ${place}><title>${escaped(explainRun(run))}</title></rect>`;
}

function classOf({ request }: TimelineRun): number {
  return PRIORITIES.findIndex(({ name }) => name === className(request));
}

function escaped(text: string): string {
  return text.replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);
}
