import { test } from 'uvu';
import * as assert from 'uvu/assert';
import * as op from '../../../assembly/opcodes.ts';
import { Assembler } from '../../../runtime/compile/assembler.ts';
import {
  address,
  type ConvShape,
  SPACE_ARENA,
  SPACE_TABLES,
  SPACE_WEIGHTS,
} from '../../../runtime/compile/instructions.ts';

const a = address(SPACE_ARENA, 1 << 20);
const b = address(SPACE_WEIGHTS, 0);
const c = address(SPACE_ARENA, 0);

/** [opcode, operands] of every instruction. */
function decode(words: Uint32Array): [number, number[]][] {
  const found: [number, number[]][] = [];
  for (let at = 0; at < words.length; ) {
    const length = (words[at] as number) >>> 8;
    found.push([(words[at] as number) & 0xff, [...words.subarray(at + 1, at + length)]]);
    at += length;
  }
  return found;
}

const shape: ConvShape = {
  batch: 1,
  inputHeight: 56,
  inputWidth: 56,
  inputChannels: 64,
  outputHeight: 56,
  outputWidth: 56,
  outputChannels: 64,
  group: 1,
  kernel: [3, 3],
  strides: [1, 1],
  dilations: [1, 1],
  pads: [1, 1, 1, 1],
};

test('every program ends with END, and its words add up', () => {
  const assembler = new Assembler({ panel: 16 });
  assembler.fill(c, 10, 1);
  const { words, tables, origins } = assembler.finish();
  assert.equal(
    decode(words).map(([opcode]) => opcode),
    [op.FILL, op.END],
  );
  assert.is(tables.length, 0);
  assert.equal(origins, []);
});

test('a long product is cut into tiles that cover it once, none longer than the bound', () => {
  const [m, n, k] = [480, 1000, 512];
  const assembler = new Assembler({ panel: 8 });
  assembler.gemm({ a, lda: k, packedB: b, c, ldc: n, m, n, k });
  const covered = new Uint8Array(m * n);
  const tiles = decode(assembler.finish().words).filter(([opcode]) => opcode === op.GEMM);
  for (const [, operands] of tiles) {
    const [at, rows, columns] = [operands[8] as number, operands[10] as number, operands[11] as number];
    assert.ok(2 * rows * columns * k <= 5_000_000, `${rows} x ${columns} x ${k}`);
    const [top, left] = [Math.floor(at / 4 / n), (at / 4) % n];
    for (let row = top; row < top + rows; row++)
      for (let column = left; column < left + columns; column++)
        covered[row * n + column] = (covered[row * n + column] as number) + 1;
  }
  assert.ok(tiles.length > 50, `only ${tiles.length} tiles`);
  assert.ok(covered.every((times) => times === 1));
});

test('a convolution works within the scratch that it asked for: gathered patches, or padded rows', () => {
  const assembler = new Assembler({ panel: 16 });
  const dilated: ConvShape = { ...shape, dilations: [2, 2], pads: [2, 2, 2, 2] };
  const [patchBytes, rowBytes] = [dilated, shape].map((each) => assembler.convScratchBytes(each)) as [number, number];
  for (const each of [dilated, shape]) assembler.conv({ x: a, weights: b, bias: b, y: c, scratch: c, shape: each });
  const instructions = decode(assembler.finish().words);
  const partsOf = (wanted: number): [number, number][] =>
    instructions
      .filter(([opcode]) => opcode === wanted)
      .map(([, operands]) => [operands.at(-2) as number, operands.at(-1) as number]);
  const most = (parts: [number, number][]): number => Math.max(...parts.map(([begin, end]) => end - begin));
  const [patches, rows] = [partsOf(op.IM2COL), partsOf(op.CONV_ROWS)];
  assert.is(most(patches) * 64 * 9 * 4 + 16, patchBytes); // the last patch may be copied with a whole vector
  assert.is((most(rows) + 2) * 58 * 64 * 4, rowBytes);
  assert.ok(Math.max(patchBytes, rowBytes) <= 122_880, `${patchBytes} and ${rowBytes} bytes`);
  assert.equal([patches.at(-1)?.[1], rows.at(-1)?.[1]], [56 * 56, 56]);
});

test('a pointwise or depthwise convolution needs no scratch', () => {
  const assembler = new Assembler({ panel: 16 });
  assert.is(assembler.convScratchBytes({ ...shape, kernel: [1, 1], pads: [0, 0, 0, 0] }), 0);
  assert.is(assembler.convScratchBytes({ ...shape, group: 64 }), 0);
});

test('tables lie at multiples of 16 in the order of their placing', () => {
  const assembler = new Assembler({ panel: 8 });
  assert.is(assembler.table(Int32Array.of(1, 2, 3)), address(SPACE_TABLES, 0));
  assert.is(assembler.table(Uint8Array.of(9)), address(SPACE_TABLES, 16));
  assert.is(assembler.table(new Float32Array(0)), address(SPACE_TABLES, 32));
  const { tables } = assembler.finish();
  assert.equal([tables.length, tables[4], tables[16]], [32, 2, 9]);
});

test('instructions know the node that they come from; a node without any leaves no trace', () => {
  const assembler = new Assembler({ panel: 8 });
  assembler.begin('first');
  assembler.fill(c, 4, 0);
  assembler.begin('empty');
  assembler.begin('second');
  assembler.fill(c, 4, 0);
  assert.equal(assembler.finish().origins, [
    { word: 0, node: 'first' },
    { word: 4, node: 'second' },
  ]);
});

test('work of size 0 gives no instruction', () => {
  const assembler = new Assembler({ panel: 8 });
  assembler.fill(c, 0, 1);
  assembler.unary('exp', a, c, 0);
  assembler.binary('add', a, b, c, [3, 0], [0, 1], [0, 1]);
  assembler.copy({ x: a, y: c, elementBytes: 4, shape: [0], xStrides: [1], yStrides: [1] });
  assembler.gemm({ a, lda: 4, packedB: b, c, ldc: 0, m: 3, n: 0, k: 4 });
  assert.is(assembler.finish().words.length, 1);
});

test('what no kernel could run is refused as our own bug', () => {
  const assembler = new Assembler({ panel: 8 });
  assert.throws(() => assembler.fill(c + 4, 4, 0), /multiple of 16/);
  assert.throws(() => assembler.packGemm(new Float32Array(5), 2, 3), /2 x 3/);
  assert.throws(
    () => assembler.conv({ x: a, weights: b, bias: b, y: c, scratch: c, shape: { ...shape, group: 5 } }),
    /group 5/,
  );
  assert.throws(() => assembler.binary('add', a, b, c, [2, 3], [3], [3, 1]), /do not fit/);
  assert.throws(() => assembler.fill(c, -1, 0), /no size/);
  assert.throws(() => assembler.softmax(a, c, 2, 0, 1), /empty axis/);
});

test.run();
