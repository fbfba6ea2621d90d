/** Programs that several cores can share, of each kind of section there is, with what one core alone makes of their inputs. */
import * as assert from 'uvu/assert';
import type { Builder } from '../../../runtime/compile/builder.ts';
import { emitProgram } from '../../../runtime/compile/emit.ts';
import type { Value } from '../../../runtime/compile/graph.ts';
import type { Kernels } from '../../../runtime/engine/kernels.ts';
import { LoadedProgram } from '../../../runtime/engine/loaded-program.ts';
import type { EngineMemory } from '../../../runtime/engine/memory.ts';
import { MemoryWeights } from '../../../runtime/engine/memory-weights.ts';
import { Stepper } from '../../../runtime/engine/stepper.ts';
import type { Random } from '../../random.ts';
import { type Built, build } from '../compile/graphs.ts';
import type { Tensors } from '../compile/run-program.ts';

/** A program, its inputs, and what one core alone makes of them. */
export interface SharedProgram {
  readonly model: string;
  readonly program: LoadedProgram;
  readonly inputs: Tensors;
  readonly expected: Tensors;
}

const CHANNELS = 24;
const DONE = -1;

/** Three that take long, and a short one. Whether a run asks for several cores is drawn by lot. */
export function sharedPrograms(memory: EngineMemory, kernels: Kernels, random: Random) {
  const stepper = new Stepper(kernels, memory);
  const bases = memory.allocate(16, 'bases');
  const load = (model: string, { graph, inputs }: Built): SharedProgram => {
    const weights = new MemoryWeights(memory, model, 1 << 20);
    const program = new LoadedProgram(emitProgram(graph, weights, kernels.traits), weights, memory, model);
    Object.defineProperty(program.sharing, 'isWanted', { get: () => random.below(8) > 0 });
    const arena = program.openArena(model);
    program.writeInputs(arena, inputs);
    program.writeBases(bases, arena);
    assert.is(stepper.runWhole({ words: program.words, pc: 0, bases }).result, DONE);
    const expected = program.readOutputs(arena);
    program.closeArena(arena);
    return { model, program, inputs, expected };
  };
  const of = (dims: readonly number[], network: (builder: Builder, x: Value, random: Random) => Value): Built =>
    build({ x: dims }, (builder, [x]) => [network(builder, x as Value, random)], random);
  const image = [1, 56, 56, CHANNELS];
  const long = [
    load('steps', of([56 * 56, CHANNELS], steps)),
    load('blocks', of(image, blocks)),
    load('layers', of(image, layers)),
  ];
  return { long, urgent: load('urgent', of([1, 20, 20, CHANNELS], layers)) };
}

function conv(builder: Builder, x: Value, random: Random, channels: number, size: number, group = 1): Value {
  const inputs = x.dims[3] as number;
  const weights = random.tensor([channels, inputs / group, size, size]);
  // Sums stay about as large as what they are made of.
  const scale = 1.5 / Math.sqrt((inputs / group) * size * size);
  const data = Float32Array.from(weights.data as Float32Array, (value) => value * scale);
  const pad = (size - 1) / 2;
  const window = { kernel: [size, size], strides: [1, 1], dilations: [1, 1], pads: [pad, pad, pad, pad] } as const;
  const bias = builder.constant(random.tensor([channels]));
  return builder.add({ kind: 'conv', window, group }, [x, builder.constant({ ...weights, data }), bias]);
}

/** MobileNetV2's blocks, in bands of rows that a core goes on with from the chunk before. */
function blocks(builder: Builder, x: Value, random: Random): Value {
  let y = x;
  for (let block = 0; block < 2; block++) {
    const wide = builder.unary('relu', conv(builder, y, random, 144, 1));
    const filtered = builder.unary('relu', conv(builder, wide, random, 144, 3, 144));
    y = builder.unary('tanh', builder.binary('add', conv(builder, filtered, random, CHANNELS, 1), y));
  }
  return y;
}

/** Winograd's convolutions and those by patches, whose chunks have scratch memory of their own. */
function layers(builder: Builder, x: Value, random: Random): Value {
  let y = x;
  for (let layer = 0; layer < 3; layer++)
    y = builder.unary('tanh', conv(builder, y, random, random.pick([16, 24, 40]), random.pick([1, 3, 3, 5, 7])));
  return builder.add({ kind: 'softmax', axis: 3, log: false }, [y]);
}

/** Chunks that write where they read: done twice, or left out, they give other numbers. */
function steps(builder: Builder, x: Value, random: Random): Value {
  const more = builder.constant(random.tensor([CHANNELS]));
  let y = x;
  for (let step = 0; step < 200; step++) y = builder.binary('add', y, more);
  return y;
}
