/**
 * How fast we are, against whom: every contender in a process of its own, in turns, answers compared before anything is timed.
 *
 * A line `models vs onnxruntime-node: 1.2` says that the peer takes 1.2 times as long. Each run adds a line of JSON to bench/results/,
 * unless it was a quick one.
 */
import { appendFileSync, mkdirSync } from 'node:fs';
import { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';
import { createStyle, wantsColour } from '../fleet/cli/style.ts';
import { readFlags, refuseFlag } from '../fleet/cli/usage.ts';
import { type ContenderName, contenderNames } from './contenders/contender.ts';
import { modes } from './modes.ts';
import { installPeers, peersInstalled } from './peers.ts';
import { machine } from './processes.ts';

const ROUNDS = 7;

const USAGE = `How fast we are, against whom.

  npm run bench -- MODE…

Modes: ${Object.keys(modes).join(', ')} (all of them without one).

  --rounds N         in turns (${ROUNDS})
  --only WORD        cases whose name contains it
  --contenders A,B   of ${contenderNames.join(', ')}
  --data DIR         shared data, if not beside the checkout
  --minutes N        of each load of preemption and scale (0.5)
  --quick            one round without peers, not kept
  --json             the results as JSON, too
`;

const { values, positionals } = readFlags(USAGE, {
  allowPositionals: true,
  options: {
    rounds: { type: 'string', default: String(ROUNDS) },
    only: { type: 'string' },
    contenders: { type: 'string' },
    data: { type: 'string' },
    minutes: { type: 'string', default: '0.5' },
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
  },
});

function contendersWanted(): ContenderName[] {
  const wanted = values.contenders?.split(',') ?? contenderNames;
  const unknown = wanted.filter((name) => !(contenderNames as readonly string[]).includes(name));
  if (unknown.length > 0) refuseFlag(`--contenders: "${unknown.join('", "')}" is none of ${contenderNames.join(', ')}`);
  return contenderNames.filter((name) => wanted.includes(name));
}

function record(result: object): void {
  const folder = fileURLToPath(new URL('./results/', import.meta.url));
  const at = new Date().toISOString();
  const line = JSON.stringify({
    at,
    machine: machine(),
    load: loadavg().map((load) => Number(load.toFixed(2))),
    ...result,
  });
  if (values.json) console.log(line);
  if (values.quick) return;
  mkdirSync(folder, { recursive: true });
  appendFileSync(`${folder}${at.slice(0, 10)}.jsonl`, `${line}\n`);
}

const rounds = values.quick ? 1 : Number(values.rounds);
if (!(Number.isInteger(rounds) && rounds >= 1 && rounds <= 1000))
  refuseFlag(`--rounds: expected a whole number from 1 to 1000, got "${values.rounds}"`);
const minutes = Number(values.minutes);
if (!(minutes > 0 && minutes <= 60)) refuseFlag(`--minutes: expected a number up to 60, got "${values.minutes}"`);
const names = positionals.length > 0 ? positionals : Object.keys(modes);
for (const name of names)
  if (!Object.hasOwn(modes, name)) refuseFlag(`mode "${name}": expected ${Object.keys(modes).join(', ')}`);

if (!values.quick) installPeers();
// The reference of the answers comes first.
const wanted = contendersWanted().sort((a, b) => Number(b === 'onnxruntime-web') - Number(a === 'onnxruntime-web'));
const isPackaged = (name: ContenderName): boolean => name.startsWith('ours') || name === 'onnxruntime-web';
const contenders = wanted.filter((name) => isPackaged(name) || (!values.quick && peersInstalled()));
for (const name of wanted) if (!contenders.includes(name)) console.log(`skipped: ${name} (a peer of bench/peers)`);
const data = values.data ?? fileURLToPath(new URL('../../shared/data/', import.meta.url));
const style = createStyle(wantsColour(process.env, process.stdout.isTTY));
for (const name of names) {
  const run = modes[name] as (typeof modes)[string];
  const keep = (part: object): void => record({ bench: name, ...part });
  const result = await run({ contenders, rounds, quick: values.quick, only: values.only, data, minutes, record: keep });
  for (const { header, rows } of result.tables) console.log(`${style.table(header, rows)}\n`);
  for (const note of result.notes) console.log(note);
  for (const line of result.lines) console.log(line);
  record({ bench: name, rounds, ...result.record });
}
console.log(`${machine()}; load ${loadavg()[0]?.toFixed(1)}`);
