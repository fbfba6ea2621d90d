import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { KernelTraits } from '../../../runtime/compile/traits.ts';
import { KeptPrograms, type WholeProgram } from '../../../runtime/engine/kept-programs-io.ts';
import { type ByteSource, memorySource } from '../../../runtime/onnx/byte-source.ts';
import { fileSource } from '../../../runtime/onnx/file-io.ts';

const root = mkdtempSync(join(tmpdir(), 'llmasos-programs-'));
test.after(() => rmSync(root, { recursive: true }));
const newFolder = () => mkdtempSync(join(root, 'case-'));

const value = { name: 'x', type: 'float32', dims: [2, 'n'] } as const;
/** Tables of an odd length put the weights at an odd place. */
const whole: WholeProgram = {
  program: {
    words: Uint32Array.of(1, 0xffffffff, 3),
    tables: Uint8Array.of(1, 2, 3),
    arenaBytes: 64,
    laneBytes: 128,
    inputs: [{ name: 'x', type: 'float32', dims: [2, 3], address: 0 }],
    outputs: [{ name: 'y', type: 'float32', dims: [2, 3], address: 0x40000000 }],
    origins: [{ word: 0, node: 'Knoten "é"' }],
  },
  weights: Uint8Array.of(9, 8, 7, 6, 5),
  inputs: [value],
  outputs: [{ ...value, name: 'y', dims: [null, 3] }],
  shapes: { x: [2, 3] },
};

const model = memorySource(Uint8Array.from({ length: 100 }, (_, i) => i));
const recall = (programs: KeptPrograms, file: ByteSource, traits: KernelTraits) =>
  programs.recall(file, traits, (byteLength) => new Uint8Array(byteLength));
const fileIn = (folder: string) => join(folder, readdirSync(folder)[0] as string);

const wide = { panel: 16, byteDot: 'unsigned' } as const;

test('a program comes back as it was kept, for the same model, kernels and compiler only', async () => {
  const folder = newFolder();
  const programs = new KeptPrograms(folder, 'one');
  assert.is(recall(programs, model, wide), undefined);
  assert.ok(await programs.keep(model, wide, whole));
  const { weights, program, ...rest } = recall(programs, model, wide) as WholeProgram;
  assert.equal({ ...rest, weights: Uint8Array.from(weights) }, { ...rest, weights: whole.weights });
  assert.equal({ ...program, tables: Uint8Array.from(program.tables) }, whole.program);
  assert.equal(rest, { inputs: whole.inputs, outputs: whole.outputs, shapes: whole.shapes });
  assert.is(recall(programs, model, { panel: 8 }), undefined);
  assert.is(recall(programs, model, { panel: 16 }), undefined);
  assert.is(recall(new KeptPrograms(folder, 'two'), model, wide), undefined);
  let seen = 0;
  for (let at = 0; at < model.byteLength; at++, seen++) {
    const other = model.read(0, model.byteLength).slice();
    other[at] = 255;
    assert.is(recall(programs, memorySource(other), wide), undefined, `byte ${at}`);
  }
  assert.is(seen, 100);
  assert.is(recall(programs, memorySource(model.read(0, 99)), wide), undefined);
});

test('a model file that lies where it lay is not read again, and its damaged program is none', async () => {
  const folder = newFolder();
  const programs = new KeptPrograms(folder, 'one');
  const file = fileSource(import.meta.filename);
  const unread: ByteSource = {
    ...file,
    read: () => {
      throw new Error('it was read');
    },
  };
  assert.ok(await programs.keep(file, wide, whole));
  assert.throws(() => recall(programs, unread, wide), /it was read/);
  assert.ok(recall(programs, file, wide));
  const { weights } = recall(programs, unread, wide) as WholeProgram;
  assert.equal(Uint8Array.from(weights), whole.weights);
  assert.throws(() => recall(programs, unread, { panel: 8 }), /it was read/);
  assert.throws(() => recall(new KeptPrograms(folder, 'two'), unread, wide), /it was read/);
  for (const name of readdirSync(folder)) writeFileSync(join(folder, name), 'damaged');
  assert.is(recall(programs, file, wide), undefined);
});

test('weights of many parts come back', async () => {
  const programs = new KeptPrograms(newFolder(), 'one');
  const weights = Uint8Array.from({ length: 3 * 65_536 + 5 }, (_, i) => i % 251);
  assert.ok(await programs.keep(model, wide, { ...whole, weights }));
  const back = recall(programs, model, wide) as WholeProgram;
  assert.ok(Buffer.from(weights).equals(back.weights));
});

test('a damaged file is no program', async () => {
  const folder = newFolder();
  const programs = new KeptPrograms(folder, 'one');
  await programs.keep(model, wide, whole);
  const file = fileIn(folder);
  const good = readFileSync(file);
  let seen = 0;
  for (let at = 0; at < good.length; at++, seen++) {
    const bad = Buffer.from(good);
    bad[at] = (bad[at] as number) ^ (1 << (at % 8));
    writeFileSync(file, bad);
    assert.is(recall(programs, model, wide), undefined, `byte ${at}`);
    writeFileSync(file, good.subarray(0, at));
    assert.is(recall(programs, model, wide), undefined, `cut at ${at}`);
  }
  assert.ok(seen > 100);
  writeFileSync(file, Buffer.concat([good, good]));
  assert.is(recall(programs, model, wide), undefined);
  writeFileSync(file, good);
  assert.ok(recall(programs, model, wide));
});

test('where nothing can be written nothing is kept, and nothing is left behind', async () => {
  const file = join(newFolder(), 'file');
  writeFileSync(file, '');
  assert.not(await new KeptPrograms(file, 'one').keep(model, wide, whole));
  assert.not(await new KeptPrograms(join(file, 'below'), 'one').keep(model, wide, whole));
  assert.ok(existsSync(file));
});

test('old programs make room for new ones', async () => {
  const folder = newFolder();
  const programs = new KeptPrograms(folder, 'one');
  for (let i = 0; i < 150; i++) {
    assert.ok(await programs.keep(memorySource(Uint8Array.of(i)), wide, whole));
    assert.ok(recall(programs, memorySource(Uint8Array.of(i)), wide), `program ${i}`);
  }
  const left = readdirSync(folder).length;
  assert.ok(left <= 128, `${left} files`);
});

test('two that keep the same program at a time leave a whole one', async () => {
  const folder = newFolder();
  const programs = new KeptPrograms(folder, 'one');
  await Promise.all([1, 2, 3, 4].map(() => programs.keep(model, wide, whole)));
  assert.ok(recall(programs, model, wide));
  assert.is(readdirSync(folder).length, 1);
});

test.run();
