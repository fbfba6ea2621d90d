/** The benchmark against other engines in its smallest size, so that it cannot rot; what it counts with. */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { compareAnswers } from '../../bench/contenders/answers.ts';
import { figuresOf, summarise } from '../../bench/statistics.ts';

const main = fileURLToPath(new URL('../../bench/main.ts', import.meta.url));
const run = promisify(execFile);
const answer = (...values: number[]) => ({
  y: { type: 'float32' as const, dims: [values.length], data: Float32Array.from(values) },
});

test('the quick benchmark times our engine and onnxruntime-web on the same models', async () => {
  const flags = ['models', 'operators', '--quick', '--json', '--contenders', 'ours,onnxruntime-web'];
  const { stdout } = await run(process.execPath, [main, ...flags]);
  const records = stdout.split('\n').filter((line) => line.startsWith('{'));
  const cases = records.map((line) => JSON.parse(line).cases);
  assert.equal(cases.map(Object.keys), [
    ['silero-vad', 'ppocr-cls'],
    ['Conv 3×3 512→512, 7×7', 'LayerNormalization 128×768'],
  ]);
  for (const outcomes of cases.flatMap(Object.values))
    for (const name of ['ours', 'onnxruntime-web']) {
      assert.ok(outcomes[name].figures?.best > 0, JSON.stringify(outcomes[name]));
      assert.ok(outcomes[name].error < 1e-3);
    }
  for (const mode of ['models', 'operators'])
    assert.match(stdout, new RegExp(`^${mode} vs onnxruntime-web: \\d+\\.\\d\\d \\(worst`, 'm'));
});

test('the quick benchmark starts processes anew and sees what a start and a life cost', async () => {
  const flags = ['cold', 'memory', '--quick', '--json', '--contenders', 'ours,onnxruntime-web'];
  const { stdout } = await run(process.execPath, [main, ...flags]);
  const records = stdout.split('\n').filter((line) => line.startsWith('{'));
  const rows = records.map((line) => JSON.parse(line).cases['silero-vad']);
  assert.is(rows.length, 2);
  for (const row of rows)
    for (const name of ['ours', 'onnxruntime-web']) {
      assert.ok(row[name].wholeMs.best > row[name].engineMs.best);
      assert.ok(row[name].peakBytes.best >= row[name].firstPeakBytes.best);
    }
  assert.match(stdout, /^cold vs onnxruntime-web: \d/m);
  assert.match(stdout, /^memory vs onnxruntime-web: \d/m);
});

test('the quick benchmark runs a model on two cores, with the same bits as on one', async () => {
  const { stdout } = await run(process.execPath, [main, 'threads', '--quick', '--json']);
  for (const how of ['free', 'contended'])
    assert.match(stdout, new RegExp(`^threads: two against one, ${how}: \\d+\\.\\d\\d \\(worst .*; 1 cases\\)$`, 'm'));
});

test('the quick benchmark lists the longest instruction of a model, by its estimate and by the clock', async () => {
  const { stdout } = await run(process.execPath, [main, 'instructions', '--quick', '--json']);
  assert.match(
    stdout,
    /^instructions: longest \d+ µs estimated, \d+ µs measured; \d+ of \d+ above 250 µs \(1 models\)$/m,
  );
});

test('the quick benchmark sees how long events wait for a new shape', async () => {
  const { stdout } = await run(process.execPath, [main, 'blocking', '--quick', '--json']);
  assert.match(stdout, /^events blocked by a new shape, here\/apart: \d/m);
});

test('the quick benchmark counts the decisions of the scheduler', async () => {
  const { stdout } = await run(process.execPath, [main, 'scheduler', '--quick', '--json']);
  const { figures, queues } = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')) as string);
  for (const { nsPerDecision, decided } of figures) assert.ok(nsPerDecision > 0 && decided.start > 100, stdout);
  assert.is(queues.length, 9);
  assert.match(stdout, /^scheduler decisions per second: \d+ \(worst \d+/m);
});

test('the quick benchmark lets an urgent model come between low-priority ones, and cancels one', async () => {
  const flags = ['preemption', '--quick', '--json', '--contenders', 'ours', '--only'];
  const { stdout } = await run(process.execPath, [main, ...flags, 'response']);
  const { responses } = JSON.parse(stdout.split('\n').find((line) => line.startsWith('{')) as string);
  const { idleMs, loadedMs, heavyPerSecond } = responses['ours: silero-vad'];
  assert.ok(idleMs.count > 0 && loadedMs.count > 0 && heavyPerSecond > 0, stdout);
  assert.match(stdout, /^urgent p99 loaded\/idle: \d/m);
  const cancelled = await run(process.execPath, [main, ...flags, 'cancel']);
  assert.match(cancelled.stdout, /^cancel a running .*: the next run begins after p50/m);
});

test('a profile of a case says what each operator takes', async () => {
  const profile = fileURLToPath(new URL('../../bench/profile.ts', import.meta.url));
  const { stdout } = await run(process.execPath, [profile, 'Gemm 64×640×128', '--passes', '2', '--json']);
  const { operators } = JSON.parse(stdout);
  assert.is(operators[0].operator, 'Gemm');
  assert.ok(operators[0].ms > 0 && operators[0].gflops > 0, stdout);
});

test('answers are compared value by value, and a NaN on one side only differs', () => {
  assert.equal(compareAnswers(answer(1, -2), answer(1, -2)), { error: 0, cosine: 1 });
  assert.is(compareAnswers(answer(1, -1), answer(1, -2)).error, 0.5);
  assert.is(compareAnswers(answer(1, Number.NaN), answer(1, 2)).error, Infinity);
  assert.is(compareAnswers(answer(1), answer(1, 2)).cosine, 0);
  assert.equal(compareAnswers(answer(Number.NaN), answer(Number.NaN)), { error: 0, cosine: 1 });
});

test('figures hold the best, the median and what nine of ten stay below', () => {
  const values = Array.from({ length: 100 }, (_, index) => 100 - index);
  assert.equal(figuresOf(values), { best: 1, median: 51, p90: 91, count: 100 });
  const { mean, worst } = summarise([
    { name: 'a', ratio: 4 },
    { name: 'b', ratio: 1 },
  ]) as NonNullable<ReturnType<typeof summarise>>;
  assert.ok(Math.abs(mean - 2) < 1e-12);
  assert.is(worst.name, 'b');
  assert.is(summarise([]), undefined);
});

test.run();
