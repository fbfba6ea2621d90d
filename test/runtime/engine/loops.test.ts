import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type AttributeSpec,
  floats,
  type GraphSpec,
  type NodeSpec,
  writeGraph,
  writeModel,
} from '../../../bench/write-model.ts';
import { createEngine } from '../../../runtime/engine/engine.ts';
import { tensorsOf } from '../../../runtime/engine/value.ts';

const BOOL = 9;

function bodyAttribute(graph: GraphSpec): AttributeSpec {
  return { name: 'body', type: 5, write: (writer) => writer.writeMessage(6, writeGraph, graph) };
}

/** Adds 1 to x until its largest element is not below the limit: the end depends on data. */
function counting(limit: number): Uint8Array {
  const vector = { type: 1, dims: [70] };
  const body: GraphSpec = {
    inputs: [
      { name: 'i', type: 7, dims: [] },
      { name: 'c', type: BOOL, dims: [] },
      { ...vector, name: 'v' },
    ],
    outputs: [
      { name: 'goes', type: BOOL, dims: [1] },
      { ...vector, name: 'next' },
    ],
    nodes: [
      { operator: 'Add', inputs: ['v', 'one'], outputs: ['next'] },
      { operator: 'ReduceMax', inputs: ['next'], outputs: ['max'] },
      { operator: 'Less', inputs: ['max', 'limit'], outputs: ['goes'] },
    ],
  };
  const loop: NodeSpec = { operator: 'Loop', inputs: ['', '', 'x'], outputs: ['y'], attributes: [bodyAttribute(body)] };
  const initializers = [floats('one', [1], Float32Array.of(1)), floats('limit', [1], Float32Array.of(limit))];
  return writeModel({
    graph: { inputs: [{ ...vector, name: 'x' }], outputs: [{ ...vector, name: 'y' }], initializers, nodes: [loop] },
  });
}

const x = { type: 'float32', dims: [70], data: new Float32Array(70) } as const;

test('a loop on the engine runs until its data end it', async () => {
  const engine = await createEngine();
  const model = await engine.load(counting(20), { name: 'counting' });
  const { outputs } = await model.run({ x });
  assert.equal(tensorsOf(outputs).y?.data, new Float32Array(70).fill(20));
  await engine.close();
});

test('a loop without end lets other models run, and ends with its signal or its model', async () => {
  const engine = await createEngine();
  const endless = await engine.load(counting(1e9), { name: 'endless' });
  const short = await engine.load(counting(3), { name: 'short' });
  const abort = new AbortController();
  const running = endless.run({ x }, { signal: abort.signal }).catch((reason) => reason);
  const { outputs } = await short.run({ x });
  assert.is(tensorsOf(outputs).y?.data[0], 3);
  abort.abort(new Error('enough'));
  assert.match(String(await running), /enough/);
  const again = endless.run({ x }).catch((reason) => reason);
  await short.run({ x });
  const used = engine.info.memoryUsedBytes;
  await endless.close();
  assert.match(String(await again), /model "endless" (was|is) closed/);
  assert.ok(engine.info.memoryUsedBytes < used);
  await engine.close();
});

test.run();
