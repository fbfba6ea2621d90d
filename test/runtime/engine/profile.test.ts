/** A profile of a model with a convolution and a loop whose end depends on data: stages, steps in JavaScript, programs. */
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { floats, type GraphSpec, writeGraph, writeModel } from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import { type Profile, ProfiledModel } from '../../../runtime/engine/profile.ts';
import { type OperatorTime, reportOf, type TraceEvent, traceOf } from '../../../runtime/engine/profile-report.ts';
import { ownTimes, type Span, type Work } from '../../../runtime/engine/spans.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';
import { Random } from '../../random.ts';

const BOOL = 9;
const [channels, side] = [16, 16];
const ROUNDS = 5;
/** Too many for a program that is made for their values alone. */
const many = 1024;
const picture = { type: 1, dims: [1, channels, side, side] };
const random = new Random(11);
const weights = Float32Array.from(random.tensor([channels, channels, 3, 3]).data as Float32Array);

/** Adds 1 to what the convolution gave until counters are not below the limit. */
const body: GraphSpec = {
  inputs: [
    { name: 'i', type: 7, dims: [] },
    { name: 'c', type: BOOL, dims: [] },
    { ...picture, name: 'v' },
    { name: 'n', type: 1, dims: [many] },
  ],
  outputs: [
    { name: 'goes', type: BOOL, dims: [1] },
    { ...picture, name: 'next' },
    { name: 'more', type: 1, dims: [many] },
  ],
  nodes: [
    { operator: 'Add', inputs: ['v', 'one'], outputs: ['next'] },
    { operator: 'Add', inputs: ['n', 'one'], outputs: ['more'] },
    { operator: 'ReduceMax', inputs: ['more'], outputs: ['most'] },
    { operator: 'Less', inputs: ['most', 'limit'], outputs: ['goes'] },
  ],
};
const file = writeModel({
  graph: {
    inputs: [
      { name: 'x', type: 1, dims: [1, channels, side + 2, side + 2] },
      { name: 'start', type: 1, dims: [many] },
    ],
    outputs: [{ ...picture, name: 'y' }],
    initializers: [
      floats('w', [channels, channels, 3, 3], weights),
      floats('one', [1], Float32Array.of(1)),
      floats('limit', [1], Float32Array.of(ROUNDS)),
    ],
    nodes: [
      { operator: 'Conv', inputs: ['x', 'w'], outputs: ['r'] },
      { operator: 'Relu', inputs: ['r'], outputs: ['a'] },
      {
        operator: 'Loop',
        inputs: ['', '', 'a', 'start'],
        outputs: ['y', 'n'],
        attributes: [{ name: 'body', type: 5, write: (writer) => writer.writeMessage(6, writeGraph, body) }],
      },
    ],
  },
});
const inputs = {
  x: random.tensor([1, channels, side + 2, side + 2]),
  start: { type: 'float32', dims: [many], data: new Float32Array(many) },
} as const;
const model = new ProfiledModel(file, { name: 'looping', passes: 4, budgetMs: 10_000 });
const answer = await model.run(inputs);
const profile = model.profile as Profile;

test('a profiled run answers as the engine does', async () => {
  const engine = await createEngine();
  const other = await engine.load(file, { name: 'looping' });
  const expected = tensorsOf((await other.run(inputs)).outputs);
  await engine.close();
  assert.equal(tensorsOf(answer.outputs).y?.data, expected.y?.data);
});

test('each operator has its time, its algorithm, its work and its bytes; rounds of a loop are one line', () => {
  const report = reportOf(profile);
  const conv = report.operators.find(({ node }) => node === 'Conv_0') as OperatorTime;
  assert.is(conv.algorithm, 'Winograd');
  assert.is(conv.operator, 'Conv');
  assert.is(conv.operation, 'conv + clip');
  const operations = 2 * side ** 2 * channels ** 2 * 9;
  assert.ok(Math.abs(((conv.gflops as number) * conv.ms * 1e6) / operations - 1) < 1e-9);
  assert.is(conv.ofPeak, (conv.gflops as number) / report.peakGflops);
  assert.is(conv.bytes, 4 * (channels * (side + 2) ** 2 + weights.length + channels * side ** 2));
  assert.is(report.operators.find(({ operator }) => operator === 'Loop')?.algorithm, 'graphs inside');
  const added = report.operators.find(({ node }) => node === 'Loop_2/body/Add_0') as OperatorTime;
  assert.is(added.operator, 'Add');
  assert.is(added.count, ROUNDS);
  const sum = report.operators.reduce((total, { ms }) => total + ms, report.copiesMs);
  assert.ok(Math.abs(sum - report.sumMs) < 1e-9);
  const total = report.totals.reduce((all, { ms }) => all + ms, report.copiesMs);
  assert.ok(Math.abs(total - report.sumMs) < 1e-9);
  assert.ok(report.sumMs <= report.bestMs && report.operators.every(({ ms }) => ms >= 0));
});

/** Slices of a thread, each with what lies directly inside; fails where two overlap without one inside the other. */
function nested(events: readonly TraceEvent[]): Map<TraceEvent, TraceEvent[]> {
  const inside = new Map<TraceEvent, TraceEvent[]>();
  const open: TraceEvent[] = [];
  const end = ({ ts = 0, dur = 0 }: TraceEvent): number => ts + dur;
  for (const event of events) {
    while (open.length > 0 && (event.ts as number) >= end(open.at(-1) as TraceEvent)) open.pop();
    const around = open.at(-1);
    if (around) assert.ok(end(event) <= end(around) + 1e-6, `"${event.name}" leaves "${around.name}"`);
    if (around) inside.get(around)?.push(event);
    inside.set(event, []);
    open.push(event);
  }
  return inside;
}

test('the trace is valid JSON of the Trace Event Format whose slices nest and add up', () => {
  const trace = JSON.parse(JSON.stringify(traceOf(profile))) as { traceEvents: TraceEvent[] };
  for (const { name, ph, pid, tid, ts, dur, args } of trace.traceEvents) {
    assert.ok(typeof name === 'string' && name !== '' && Number.isInteger(pid) && Number.isInteger(tid));
    if (ph === 'X') assert.ok((ts as number) >= 0 && (dur as number) >= 0, `${name} from ${ts} for ${dur}`);
    else assert.ok(ph === 'M' && typeof (args as { name: unknown }).name === 'string');
  }
  for (const tid of [1, 2]) {
    const slices = trace.traceEvents.filter((event) => event.ph === 'X' && event.tid === tid);
    const inside = nested(slices);
    for (const [around, parts] of inside) {
      const sum = parts.reduce((total, { dur = 0 }) => total + dur, 0);
      assert.ok(sum <= (around.dur as number) + 1e-6, `the parts of "${around.name}" take longer than it does`);
    }
    const count = (kind: string): number => slices.filter(({ cat }) => cat === kind).length;
    assert.is(count('run'), 1);
    assert.is(count('control'), 1);
    assert.is(count('program'), 1 + ROUNDS);
    assert.is(count('compile') > 0, tid === 2);
    const loop = slices.find(({ cat }) => cat === 'control') as TraceEvent;
    assert.is(loop.name, 'Loop Loop_2');
    assert.is(inside.get(loop)?.filter(({ cat }) => cat === 'program').length, ROUNDS);
    const conv = slices.find(({ args }) => (args as Work | undefined)?.operation === 'conv + clip') as TraceEvent;
    const kernels = inside.get(conv)?.map(({ name }) => name) ?? [];
    for (const kernel of ['Winograd, input', 'matrix product', 'Winograd, output']) assert.ok(kernels.includes(kernel));
  }
});

test('time of its own is what is left of a span without those inside', () => {
  const span = (kind: Span['kind'], startMs: number, ms: number): Span => ({ kind, name: kind, startMs, ms });
  const spans = [
    span('control', 0, 10),
    span('program', 1, 4),
    span('node', 1, 3),
    span('kernel', 1, 2),
    span('host', 6, 1),
    span('host', 10, 5),
  ];
  assert.equal(ownTimes(spans), [5, 1, 3, 2, 1, 5]);
});

test.run();
