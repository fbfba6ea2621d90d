import { test } from 'uvu';
import * as assert from 'uvu/assert';
import { END, REDUCE } from '../../../assembly/opcodes.ts';
import type { Value } from '../../../runtime/compile/graph.ts';
import type { ReduceName } from '../../../runtime/compile/instructions.ts';
import type { Program } from '../../../runtime/compile/program.ts';
import { ELEMENTS_MAX } from '../../../runtime/compile/writer.ts';
import { build, evaluateGraph, farthest } from './graphs.ts';
import { runGraph } from './run-program.ts';

const names: readonly ReduceName[] = ['sum', 'mean', 'max', 'min', 'prod', 'sumSquare', 'l1', 'l2'];

/** What each instruction of a reduction reads, in elements. */
function readsOf({ words }: Program): number[] {
  const reads: number[] = [];
  const word = (at: number): number => words[at] as number;
  for (let at = 0; (word(at) & 0xff) !== END; at += word(at) >>> 8) {
    if ((word(at) & 0xff) !== REDUCE) continue;
    const [begin, end, columns, from, to] = [...words.subarray(at + 6, at + 11)] as [
      number,
      number,
      number,
      number,
      number,
    ];
    reads.push((to - from) * columns * (end - begin));
  }
  return reads;
}

test('large reductions are done in instructions that are bounded, and give what double precision gives', () => {
  for (const name of names)
    for (const [dims, axes] of [
      [
        [1, 150, 140, 24],
        [1, 2],
      ],
      [[2, 3, 90_000], [2]],
      [[1, 3000, 600], [1]],
      [
        [400, 2, 500],
        [0, 2],
      ],
    ] as const) {
      const { graph, inputs } = build({ x: dims }, (builder, [x]) => {
        // Products of that many numbers are 0 otherwise.
        const near =
          name === 'prod' ? builder.unary('exp', builder.binary('mul', x as Value, builder.scalar(1e-2))) : x;
        return [builder.reduce(name, near as Value, axes)];
      });
      let reads: number[] = [];
      const found = runGraph(graph, inputs, undefined, undefined, (program) => {
        reads = readsOf(program);
        return program;
      });
      assert.ok(reads.length > 1 && Math.max(...reads) <= ELEMENTS_MAX, `${name} of ${dims}: ${Math.max(...reads)}`);
      const error = farthest(found, evaluateGraph(graph, inputs));
      // The factors of products are rounded first.
      assert.ok(error < (name === 'prod' ? 1e-3 : 1e-5), `${name} of ${dims} is off by ${error}`);
    }
});

test('an axis of a prime size is reduced one part after the other', () => {
  const { graph, inputs } = build({ x: [1, 100_003] }, (builder, [x]) => [builder.reduce('sum', x as Value, [1])]);
  let reads: number[] = [];
  const found = runGraph(graph, inputs, undefined, undefined, (program) => {
    reads = readsOf(program);
    return program;
  });
  assert.equal(reads, [ELEMENTS_MAX, 100_003 - ELEMENTS_MAX]);
  assert.ok(farthest(found, evaluateGraph(graph, inputs)) < 1e-5);
});

test.run();
