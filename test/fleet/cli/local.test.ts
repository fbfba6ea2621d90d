/** Commands that need no controller: help, mistakes in typing, inference on a file, completion, doctor. */
import { execFile } from 'node:child_process';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { commands } from '../../../fleet/commands/index.ts';
import { temporary } from '../fleet-parts.ts';
import { endAll, escapeCode, llmasos, oneOperator, type, unusedPort } from './terminal.ts';

const file = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));
const materials = 'examples/fleet-in-a-box/materials';
const folder = temporary();
const nobody = `http://127.0.0.1:${await unusedPort()}`;

function write(name: string, content: string | Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

test.after(endAll);

test('--help names every command and ends with 0', async () => {
  const { code, out, err } = await llmasos('--help');
  assert.is(code, 0);
  assert.is(err, '');
  for (const name of ['up', 'controller', 'node', 'doctor', 'completion'])
    assert.match(out, new RegExp(`^  ${name} `, 'm'));
  for (const { name } of commands) assert.match(out, new RegExp(`^  ${name[0]} `, 'm'));
  const models = await llmasos('models', '--help');
  assert.is(models.code, 0);
  for (const verb of ['add', 'list', 'show', 'remove']) assert.match(models.out, new RegExp(`^  ${verb} `, 'm'));
});

test('what was typed wrongly ends with 2 and says what would be right', async () => {
  const cases: [words: string[], expected: RegExp][] = [
    [['watc'], /unknown command 'watc'\n\(Did you mean watch\?\)/],
    [['models', 'ad'], /unknown command 'ad'/],
    [['nodes', '--colour'], /unknown option '--colour'/],
    [['models', 'show'], /missing required argument 'name'/],
    [['up', '--mqtt-port', '70000'], /--mqtt-port.*expected a port from 1 to 65535/i],
  ];
  const ended = await Promise.all(cases.map(([words]) => llmasos(...words)));
  ended.forEach(({ code, out, err }, index) => {
    const [words, expected] = cases[index] as (typeof cases)[number];
    assert.is(code, 2, `${words.join(' ')}: ${err}`);
    assert.match(err, expected);
    assert.is(out, '');
  });
});

test('without a controller it ends with 1 and says how to start one', async () => {
  const { code, out, err } = await llmasos('nodes', '--controller', nobody);
  assert.is(code, 1);
  assert.is(out, '');
  assert.is(err, `llmasos: no controller at ${nobody}: start one with "llmasos up" or give --controller URL\n`);
});

test('infer runs a model file on numbers, a picture and a sound, for people and for machines', async () => {
  const relu = write('relu.onnx', oneOperator('Relu', [1, 3], [1, 3]));
  const numbers = write('numbers.json', '[-1, 0.5, 2]');
  const people = await llmasos('infer', relu, '--json', numbers);
  assert.is(people.code, 0, people.err);
  assert.match(people.out, /^relu by llmasos, [\d.]+ ms:\n/);
  const machines = await llmasos('--json', 'infer', relu, '--json', numbers);
  const answer = JSON.parse(machines.out);
  assert.equal(answer.result.y, { type: 'float32', dims: [1, 3], data: [0, 0.5, 2] });

  const colours = write('colours.onnx', oneOperator('GlobalAveragePool', [1, 3, 8, 8], [1, 3, 1, 1]));
  const picture = await llmasos('--json', 'infer', colours, '--image', file(`${materials}/factory-camera/bearing.jpg`));
  assert.is(picture.code, 0, picture.err);
  const means = JSON.parse(picture.out).result.y.data as number[];
  assert.is(means.length, 3);
  for (const mean of means) assert.ok(mean > 0.02 && mean < 0.98, `a colour's mean is ${mean}`);

  const samples = (224_044 - 44) / 2;
  const loudest = write('loudest.onnx', oneOperator('GlobalMaxPool', [1, 1, samples], [1, 1, 1]));
  const sound = await llmasos('--json', 'infer', loudest, '--audio', file(`${materials}/city-microphone/bus-stop.wav`));
  assert.is(sound.code, 0, sound.err);
  const [loudness] = JSON.parse(sound.out).result.y.data as [number];
  assert.ok(loudness > 0.05 && loudness <= 1, `the loudest sample is ${loudness}`);
});

test('infer --profile says where the time of a run on that input goes, and writes a trace', async () => {
  const pool = write('pool.onnx', oneOperator('GlobalAveragePool', [1, 3, 8, 8], [1, 3, 1, 1]));
  const image = ['--image', file(`${materials}/factory-camera/bearing.jpg`)];
  const people = await llmasos('infer', pool, ...image, '--profile');
  assert.is(people.code, 0, people.err);
  assert.match(people.out, /^pool: [\d.]+ ms on one thread/);
  assert.match(people.out, /GlobalAveragePool .* reduce mean +reduce +\d+\.\d{3} +\d+\.\d% /);
  const trace = join(folder, 'trace.json');
  const machines = await llmasos('--json', 'infer', pool, ...image, '--profile', '--trace', trace);
  assert.is(machines.code, 0, machines.err);
  const report = JSON.parse(machines.out);
  const { traceEvents } = JSON.parse(readFileSync(trace, 'utf8'));
  assert.ok(report.peakGflops > 0 && report.operators.length > 0);
  for (const { node } of report.operators)
    assert.ok(
      traceEvents.some(({ ph, name }: { ph: string; name: string }) => ph === 'X' && name.includes(node)),
      `${node} is not in the trace`,
    );
  const registered = await llmasos('infer', 'voice', ...image, '--profile', '--controller', nobody);
  assert.is(registered.code, 1);
  assert.match(registered.err, /a profile is made on this machine: expected an ONNX file, got the name "voice"/);
});

test('infer refuses what it cannot use, with the reason', async () => {
  const relu = write('relu.onnx', oneOperator('Relu', [1, 3], [1, 3]));
  const broken = write('broken.onnx', oneOperator('Relu', [1, 3], [1, 3]).subarray(0, 40));
  const numbers = write('numbers.json', '[-1, 0.5, 2]');
  const cases: [words: string[], expected: RegExp][] = [
    [[relu], /expected one of --image, --audio, --json and --tensors, got 0/],
    [[relu, '--json', numbers, '--image', numbers], /got 2/],
    [[relu, '--json', join(folder, 'none.json')], /none\.json: there is no such file/],
    [[join(folder, 'none.onnx'), '--json', numbers], /none\.onnx: there is no such file/],
    [[broken, '--json', numbers], /expected an ONNX model.*truncated or corrupt/],
    [[relu, '--json', write('words.json', '["a"]')], /expected numbers at \$, got "a"/],
    [[relu, '--image', numbers], /a picture has 4 dimensions, the model wants \[1, 3\]/],
  ];
  const ended = await Promise.all(cases.map(([words]) => llmasos('infer', ...words)));
  ended.forEach(({ code, err }, index) => {
    assert.is(code, 1, err);
    assert.match(err, (cases[index] as (typeof cases)[number])[1]);
    assert.is(err.trimEnd().split('\n').length, 1, err);
  });
});

test('completion proposes commands and flags, by the protocol and in bash itself', async () => {
  assert.match((await llmasos('complete', '--', 'mod')).out, /^models\tThe registry of models\n/);
  assert.match((await llmasos('complete', '--', 'models', 'add', '--')).out, /^--labels\t/m);
  const { out: script } = await llmasos('completion', 'bash');
  // What bash-completion brings (its function and `compopt`), so that the script alone is what is tried.
  const bash = [
    script,
    '_get_comp_words_by_ref() { words=(llmasos triggers r); cur=r; }',
    'compopt() { :; }',
    '__llmasos_complete',
    'echo $COMPREPLY',
  ].join('\n');
  const program = write('llmasos', `#!/bin/sh\nexec "${process.execPath}" "${file('fleet/cli/main.ts')}" "$@"\n`);
  chmodSync(program, 0o755);
  const env = { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}` };
  const { stdout } = await promisify(execFile)('bash', ['-c', bash], { env });
  assert.is(stdout.trim(), 'remove');
});

test('doctor says what works here, and is no failure for what is optional', async () => {
  const [people, machines] = await Promise.all([
    llmasos('doctor', '--controller', nobody),
    llmasos('doctor', '--json'),
  ]);
  assert.is(people.code, 0, people.out);
  assert.match(people.out, /^Node\.js +ok +24\./m);
  assert.match(people.out, new RegExp(`^controller +missing +none at ${nobody}`, 'm'));
  const checks = JSON.parse(machines.out) as { name: string; state: string; detail: string }[];
  const kernels = checks.find(({ name }) => name === 'kernels');
  assert.is(kernels?.state, 'ok');
  assert.match(kernels?.detail ?? '', /self-test passed/);
  assert.ok(checks.some(({ name }) => name === 'GPU'));
});

test('pipes and NO_COLOR get no escape codes, FORCE_COLOR does', async () => {
  const coloured = async (environment: Record<string, string>): Promise<boolean> =>
    (await type(['doctor'], environment).ended).out.includes(escapeCode);
  const environments: Record<string, string>[] = [{}, { FORCE_COLOR: '1' }, { FORCE_COLOR: '1', NO_COLOR: '1' }];
  assert.equal(await Promise.all(environments.map(coloured)), [false, true, false]);
});

test.run();
