import { test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Value } from '../../../../runtime/compile/graph.ts';
import { foldSymmetry } from '../../../../runtime/compile/passes/symmetry.ts';
import { type Built, build, farthest, kindsOf } from '../graphs.ts';
import { runGraph } from '../run-program.ts';

const TAPS = 48;

/** Tap number `tap` of filter number `row`. */
type Filter = (row: number, tap: number) => number;

/** As the short-time Fourier transform multiplies: Hann's window, which is zero at the beginning, times cosines or sines. */
const hann = (tap: number): number => Math.sin((Math.PI * tap) / TAPS) ** 2;
const cosines: Filter = (row, tap) => hann(tap) * Math.cos((2 * Math.PI * row * tap) / TAPS);
const sines: Filter = (row, tap) => hann(tap) * Math.sin((2 * Math.PI * row * tap) / TAPS);
/** Filters of linear phase, whose first tap mirrors the last. */
const smooth: Filter = (row, tap) => Math.cos((row + 1) * (tap - (TAPS - 1) / 2));
const steep: Filter = (row, tap) => Math.sin((row + 1) * (tap - (TAPS - 1) / 2));

interface Options {
  readonly rows?: number;
  readonly batch?: number;
  readonly lying?: boolean;
  readonly pads?: readonly [number, number, number, number];
}

function convolution(filter: Filter, { rows = 9, batch = 1, lying = false, pads = [0, 0, 0, 0] }: Options = {}): Built {
  const data = Float32Array.from({ length: rows * TAPS }, (_, i) => filter(Math.floor(i / TAPS), i % TAPS));
  const kernel = lying ? ([1, TAPS] as const) : ([TAPS, 1] as const);
  const strides = lying ? ([1, 7] as const) : ([7, 1] as const);
  return build({ x: [batch, lying ? 1 : 200, lying ? 200 : 1, 1] }, (builder, [x], random) => {
    const weights = builder.constant({ type: 'float32', dims: [rows, 1, ...kernel], data });
    const window = { kernel, strides, dilations: [1, 1] as const, pads };
    const bias = builder.constant(random.tensor([rows]));
    return [builder.add({ kind: 'conv', window, group: 1 }, [x as Value, weights, bias])];
  });
}

const mirrored: readonly [title: string, built: Built, names: readonly string[]][] = [
  ['cosines', convolution(cosines), ['add']],
  ['sines', convolution(sines), ['sub']],
  ['cosines before sines', convolution((row, tap) => (row < 5 ? cosines : sines)(row % 5, tap)), ['add', 'sub']],
  ['sines of several signals', convolution(sines, { batch: 3 }), ['sub']],
  ['cosines along a row', convolution(cosines, { lying: true }), ['add']],
  ['taps of which the first mirrors the last', convolution(smooth, { rows: 3 }), ['add']],
  ['such ones, one side negative', convolution(steep, { rows: 3, batch: 2 }), ['sub']],
];

for (const [title, { graph, inputs, keys }, names] of mirrored)
  test(`long filters whose taps mirror each other multiply sums of inputs: ${title}`, () => {
    const result = foldSymmetry(graph, keys);
    const kinds = kindsOf(result);
    assert.not(kinds.includes('conv'));
    assert.equal(
      kinds.filter((kind) => kind === 'add' || kind === 'sub'),
      names,
    );
    assert.is(kinds.filter((kind) => kind === 'matMul').length, names.length);
    assert.ok(farthest(runGraph(result, inputs), runGraph(graph, inputs)) < 2e-6);
  });

const nearly: Filter = (row, tap) => cosines(row, tap) + (row === 8 && tap === 11 ? 1e-5 : 0);
const others: readonly [title: string, built: Built][] = [
  ['nothing mirrored', convolution((row, tap) => Math.sin(row + tap * tap))],
  ['one tap that differs', convolution(nearly)],
  ['a first tap that has nothing to mirror', convolution((row, tap) => cosines(row, tap) + (tap === 0 ? 0.1 : 0))],
  ['sines before cosines', convolution((row, tap) => (row < 5 ? sines : cosines)((row % 5) + 1, tap))],
  ['padding', convolution(cosines, { pads: [3, 0, 0, 0] })],
  ['taps that are no numbers', convolution(() => Number.NaN)],
];

for (const [title, { graph, keys }] of others)
  test(`filters stay as they are with ${title}`, () => {
    assert.equal(kindsOf(foldSymmetry(graph, keys)), ['conv']);
  });

test.run();
