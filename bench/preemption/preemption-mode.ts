/**
 * `npm run bench -- preemption [--minutes N]`: how long a small urgent model waits while detection models keep every core busy, here and
 * with onnxruntime; what it costs to be interruptible; how soon a cancelled run is gone; a gateway at 95% and at twice what it can do.
 * `--only` takes a part of it: response, throughput, cancel, gateway.
 */
import { availableParallelism } from 'node:os';
import { modelCases } from '../cases/model-cases.ts';
import { randomValues } from '../cases/random-values.ts';
import type { Job } from '../contenders/contender.ts';
import type { ModeOptions, ModeResult } from '../modes.ts';
import { peersInstalled } from '../peers.ts';
import { LoadClient } from './load-client.ts';
import { type Arrangement, arrangements, type LoadReply, type Served, type Stream } from './protocol.ts';

const URGENT = ['silero-vad', 'ultraface/version-RFB-320', 'ppocr-cls'];
const HEAVY = ['ppocr-det', 'yolox_nano/yolox_nano'];
const LONG = 'ppocr-det, large picture';
/** Side of a picture on which it takes half a second. */
const LONG_SIDE = 1536;
const URGENT_PER_SECOND = 20;
const SECONDS = 6;
/** Peers are not what the acceptance reads: one round each. */
const PEER_ROUNDS = 1;
const ROUNDS_MAX = 3;
const QUICK_SECONDS = 0.3;
/** Enough for a p99. */
const CANCELS = 200;
/** Of phases with and without interruptible runs. */
const PAIRS = 16;

type Measured = Extract<LoadReply, { kind: 'measured' }>;

interface Pair {
  readonly idle: readonly number[];
  readonly loaded: readonly number[];
  readonly queuesMs: readonly number[];
  readonly heavyPerSecond: number;
}

/** Nearest rank. */
function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

const ms = (value: number): string => (Number.isNaN(value) ? '' : value.toFixed(value < 10 ? 2 : 1));
const both = (values: readonly number[]): string[] => [ms(quantile(values, 0.5)), ms(quantile(values, 0.99))];

async function jobsOf(names: readonly string[], data: string): Promise<Job[]> {
  const jobs: Job[] = [];
  for (const each of modelCases(data).filter(({ name }) => names.includes(name))) {
    try {
      jobs.push(await each.job());
    } catch (error) {
      console.log(`skipped: ${each.name} (${(error as Error).message})`);
    }
  }
  return jobs;
}

function longJob(jobs: readonly Job[], side: number): Job | undefined {
  const small = jobs.find(({ name }) => name === 'ppocr-det');
  const [input] = Object.keys(small?.inputs ?? {});
  if (!small || input === undefined) return undefined;
  const data = randomValues(3 * side * side);
  return { ...small, name: LONG, inputs: { [input]: { type: 'float32', dims: [1, 3, side, side], data } } };
}

export async function preemption(options: ModeOptions): Promise<ModeResult> {
  const { quick, data, rounds, only = '', minutes } = options;
  const cores = availableParallelism();
  const seconds = quick ? QUICK_SECONDS : SECONDS;
  const jobs = await jobsOf([...URGENT, ...HEAVY], data);
  const has = (name: string): boolean => jobs.some((job) => job.name === name);
  const heavy = HEAVY.filter(has);
  const urgent = URGENT.filter(has).slice(0, quick ? 1 : 2);
  const long = longJob(jobs, LONG_SIDE) as Job;
  const wanted = arrangements.filter((name) => isWanted(name, options));
  const parts: Part[] = [];
  const asked = (part: string): boolean => only === '' || part.includes(only);
  if (asked('response'))
    parts.push(
      await responses(wanted, jobs, {
        urgent,
        heavy,
        cores,
        seconds,
        rounds: quick ? 1 : Math.min(rounds, ROUNDS_MAX),
      }),
    );
  if (wanted.includes('ours')) {
    if (asked('throughput')) parts.push(await throughput(jobs, heavy, cores, { seconds, pairs: quick ? 1 : PAIRS }));
    if (asked('cancel')) parts.push(await cancellation([...jobs, long], cores, quick ? 3 : CANCELS));
    if (asked('gateway')) parts.push(...(await gateway(jobs, heavy, cores, quick ? 1 : minutes * 60)));
  }
  return {
    tables: parts.flatMap(({ tables }) => tables),
    notes: parts.flatMap(({ notes = [] }) => notes),
    // The acceptance reads the last one.
    lines: parts
      .flatMap(({ lines }) => lines)
      .sort((a, b) => Number(a.startsWith('urgent p99')) - Number(b.startsWith('urgent p99'))),
    record: Object.assign({}, ...parts.map(({ record }) => record)),
  };
}

interface Part {
  readonly tables: ModeResult['tables'];
  readonly notes?: readonly string[];
  readonly lines: readonly string[];
  readonly record: object;
}

function isWanted(name: Arrangement, { contenders, quick }: ModeOptions): boolean {
  if (name === 'ours') return contenders.includes('ours');
  if (name.startsWith('onnxruntime-web')) return contenders.includes('onnxruntime-web');
  return !quick && contenders.includes('onnxruntime-node') && peersInstalled();
}

async function withStation<Result>(
  arrangement: Arrangement,
  jobs: readonly Job[],
  cores: number,
  work: (client: LoadClient) => Promise<Result>,
  uncut = false,
): Promise<Result> {
  const client = new LoadClient(arrangement, uncut);
  try {
    await client.ask('ready', { kind: 'open', jobs, cores });
    return await work(client);
  } finally {
    client.close();
  }
}

/** Each urgent model with and without the heavy ones, idle and loaded in turns so that noise meets both. */
async function responses(
  wanted: readonly Arrangement[],
  jobs: readonly Job[],
  {
    urgent,
    heavy,
    cores,
    seconds,
    rounds,
  }: { urgent: readonly string[]; heavy: readonly string[]; cores: number; seconds: number; rounds: number },
): Promise<Part> {
  const rows: string[][] = [];
  const lines: string[] = [];
  const record: Record<string, object> = {};
  for (const arrangement of wanted)
    await withStation(arrangement, jobs, cores, async (client) => {
      const phase = (name: string, models: readonly string[], length: number): Promise<Measured> =>
        client.ask('measured', {
          kind: 'phase',
          seconds: length,
          heavy: models,
          inFlight: cores * 2,
          urgent: name,
          urgentPerSecond: URGENT_PER_SECOND,
        });
      for (const name of urgent) {
        process.stderr.write(`${arrangement}: ${name} …\n`);
        const pair: { idle: number[]; loaded: number[]; queuesMs: number[]; heavyPerSecond: number } = {
          idle: [],
          loaded: [],
          queuesMs: [],
          heavyPerSecond: 0,
        };
        await phase(name, heavy, Math.min(seconds, 2));
        const turns = arrangement === 'ours' ? rounds : PEER_ROUNDS;
        for (let round = 0; round < turns; round++) {
          pair.idle.push(...(await phase(name, [], seconds)).responsesMs);
          const loaded = await phase(name, heavy, seconds);
          pair.loaded.push(...loaded.responsesMs);
          pair.queuesMs.push(...loaded.queuesMs);
          pair.heavyPerSecond += loaded.heavyRuns / loaded.seconds / turns;
        }
        rows.push(responseRow(arrangement, name, pair));
        record[`${arrangement}: ${name}`] = figuresOf(pair);
        if (arrangement === 'ours') lines.push(...ownLines(name, pair, name === urgent[0]));
      }
    });
  const header = [
    'response in ms',
    'urgent model',
    'idle p50',
    'p99',
    'loaded p50',
    'p99',
    'p99 loaded/idle',
    'low-priority runs/s',
  ];
  return { tables: [{ header, rows }], lines, record: { responses: record } };
}

function responseRow(arrangement: string, name: string, { idle, loaded, heavyPerSecond }: Pair): string[] {
  const ratio = quantile(loaded, 0.99) / quantile(idle, 0.99);
  return [arrangement, name, ...both(idle), ...both(loaded), ratio.toFixed(2), heavyPerSecond.toFixed(1)];
}

function figuresOf({ idle, loaded, queuesMs, heavyPerSecond }: Pair): object {
  const [idleMs, loadedMs, queueMs] = [idle, loaded, queuesMs].map((values) => ({
    p50: quantile(values, 0.5),
    p99: quantile(values, 0.99),
    count: values.length,
  }));
  return { idleMs, loadedMs, queueMs, heavyPerSecond };
}

function ownLines(name: string, { idle, loaded, queuesMs }: Pair, isFirst: boolean): string[] {
  const [idleMs, loadedMs] = [quantile(idle, 0.99), quantile(loaded, 0.99)];
  const [p50, p99] = both(queuesMs);
  const ratio = `${(loadedMs / idleMs).toFixed(2)} (${name}; p99 ${ms(loadedMs)} ms loaded, ${ms(idleMs)} ms idle, ${ms(loadedMs - idleMs)} ms more)`;
  return [
    `preemption latency, submission to first instruction under load, ${name}: p50 ${p50} ms, p99 ${p99} ms`,
    isFirst ? `urgent p99 loaded/idle: ${ratio}` : `the same of a longer model: ${ratio}`,
  ];
}

/**
 * The low-priority runs alone, in instructions of bounded length and in ones that nobody cut: pairs of phases that follow each other at once, in
 * both orders, and the median of their ratios, as what else runs on the machine changes from one pair to the next.
 */
async function throughput(
  jobs: readonly Job[],
  heavy: readonly string[],
  cores: number,
  { seconds, pairs }: { seconds: number; pairs: number },
): Promise<Part> {
  process.stderr.write('throughput …\n');
  const request = { kind: 'phase', seconds: seconds / 4, heavy, inFlight: cores * 2, urgentPerSecond: 0 } as const;
  const lostShares: { readonly runs: number; readonly work: number }[] = [];
  await withStation('ours', jobs, cores, (cut) =>
    withStation(
      'ours',
      jobs,
      cores,
      async (uncut) => {
        const measure = async (client: LoadClient): Promise<{ readonly runs: number; readonly work: number }> => {
          const { heavyRuns, seconds: elapsed, cpuMs } = await client.ask('measured', request);
          return { runs: heavyRuns / elapsed, work: heavyRuns / cpuMs };
        };
        // Compiles.
        for (const client of [cut, uncut]) await measure(client);
        for (let pair = 0; pair < pairs; pair++) {
          const isCutFirst = pair % 2 === 0;
          const [first, second] = [await measure(isCutFirst ? cut : uncut), await measure(isCutFirst ? uncut : cut)];
          const [cutOnes, others] = isCutFirst ? [first, second] : [second, first];
          lostShares.push({ runs: 1 - cutOnes.runs / others.runs, work: 1 - cutOnes.work / others.work });
        }
      },
      true,
    ),
  );
  const said = (values: readonly number[]): string => {
    const [low, median, high] = [0.25, 0.5, 0.75].map((share) => (quantile(values, share) * 100).toFixed(1));
    return `${median}% (middle half ${low} to ${high}%)`;
  };
  const [runs, work] = [lostShares.map((each) => each.runs), lostShares.map((each) => each.work)];
  return {
    tables: [],
    lines: [
      `low-priority runs lost by being interruptible, median of ${pairs} pairs: ${said(runs)} a second, ${said(work)} for the processor time`,
    ],
    record: { throughput: { runs, work } },
  };
}

async function cancellation(jobs: readonly Job[], cores: number, count: number): Promise<Part> {
  process.stderr.write('cancel …\n');
  const request = { kind: 'cancel', job: LONG, next: 'ppocr-cls', count } as const;
  const { freeMs } = await withStation('ours', jobs, cores, (client) => client.ask('cancelled', request));
  const [p50, p99] = both(freeMs);
  const most = ms(Math.max(...freeMs));
  return {
    tables: [],
    lines: [
      `cancel a running ${LONG}: the next run begins after p50 ${p50} ms, p99 ${p99} ms, at most ${most} ms (${freeMs.length} times)`,
    ],
    record: { cancelMs: freeMs },
  };
}

/** Streams of all classes at 95% of the cores, then with the lower classes at twice of them. */
async function gateway(
  jobs: readonly Job[],
  heavy: readonly string[],
  cores: number,
  seconds: number,
): Promise<Part[]> {
  return withStation('ours', jobs, cores, async (client) => {
    const workMs = await workOf(client, jobs, cores);
    const streams = (utilisation: number): Stream[] => {
      const budget = utilisation * cores * 1000;
      const of = (job: string, priority: number, share: number, deadlineMs?: number): Stream[] =>
        workMs.has(job)
          ? [{ job, priority, perSecond: (share * budget) / (workMs.get(job) as number), deadlineMs }]
          : [];
      const [first = '', second = first] = heavy;
      // What safety does is the same under any load.
      const fixed = 0.95 / utilisation;
      const safety = [
        ...of('ultraface/version-RFB-320', 0, 0.1 * fixed, 40),
        ...of('silero-vad', 0, 0.005 * fixed, 20),
      ];
      const rest = 1 - 0.105 * fixed;
      return [
        ...safety,
        ...of('ppocr-cls', 1, 0.15 * rest, 300),
        ...of(second, 2, 0.45 * rest, 3000),
        ...of(first, 3, 0.4 * rest, 10_000),
      ];
    };
    const parts: Part[] = [];
    const p99: number[] = [];
    for (const utilisation of [0.95, 2]) {
      const length = utilisation > 1 ? Math.min(seconds, 30) : seconds;
      process.stderr.write(`gateway at ${utilisation * 100}% for ${length} s …\n`);
      const wanted = streams(utilisation);
      const reply = await client.ask('served', { kind: 'serve', seconds: length, streams: wanted });
      parts.push(servedPart(`${utilisation * 100}% asked for`, wanted, reply));
      p99.push(quantile(reply.streams[0]?.responsesMs ?? [], 0.99));
    }
    const [usual, twice] = p99 as [number, number];
    const line = `safety p99 at twice what the cores can do by that at 95%: ${(twice / usual).toFixed(2)}`;
    return [...parts, { tables: [], lines: [line], record: {} }];
  });
}

/** Milliseconds of a core that one run of each model takes while all cores are busy: alone, several would share a run. */
async function workOf(client: LoadClient, jobs: readonly Job[], cores: number): Promise<Map<string, number>> {
  const workMs = new Map<string, number>();
  for (const { name } of jobs) {
    const inFlight = cores * 2;
    const request = { kind: 'phase', seconds: 1, heavy: [name], inFlight, urgentPerSecond: 0 } as const;
    await client.ask('measured', request);
    const { heavyRuns, seconds } = await client.ask('measured', request);
    workMs.set(name, (seconds * 1000 * cores) / Math.max(1, heavyRuns));
  }
  return workMs;
}

const classes = ['safety', 'interactive', 'normal', 'background'];

function servedPart(
  title: string,
  streams: readonly Stream[],
  { streams: served, busyShare, seconds }: Extract<LoadReply, { kind: 'served' }>,
): Part {
  const rows = served.map(({ submitted, responsesMs, late, endedLate, refused }, place) => {
    const { job, priority, deadlineMs } = streams[place] as Stream;
    const refusals = Object.values(refused).reduce((sum, count) => sum + count, -endedLate);
    const lost = submitted - responsesMs.length - refusals - endedLate;
    const counts = [submitted, responsesMs.length, refusals, late, endedLate, lost].map(String);
    return [`${classes[priority]}: ${job}`, `${deadlineMs ?? ''}`, ...counts, ...both(responsesMs)];
  });
  const header = [
    title,
    'deadline',
    'submitted',
    'done',
    'refused',
    'done late',
    'ended late',
    'lost',
    'p50 ms',
    'p99 ms',
  ];
  const safety = served.filter((_, place) => streams[place]?.priority === 0);
  const missed = safety.reduce((sum, { late, endedLate }) => sum + late + endedLate, 0);
  const admitted = safety.reduce((sum, { responsesMs, endedLate }) => sum + responsesMs.length + endedLate, 0);
  return {
    tables: [{ header, rows }],
    notes: served.flatMap(({ refused }: Served, place) =>
      Object.entries(refused).map(([reason, count]) => `${streams[place]?.job}: ${count} × ${reason}`),
    ),
    lines: [
      `${title}, ${seconds.toFixed(0)} s, process ${(busyShare * 100).toFixed(0)}% of the cores: ${missed} deadline misses of ${admitted} admitted safety runs`,
    ],
    record: {
      [title]: served.map(({ responsesMs, ...rest }) => ({
        ...rest,
        p50: quantile(responsesMs, 0.5),
        p99: quantile(responsesMs, 0.99),
      })),
    },
  };
}
