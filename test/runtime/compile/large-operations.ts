/** For each operation of the kernel graph, shapes that are large in another way: instruction-cost.test.ts holds them to the bound. */
import type { Operation, Value } from '../../../runtime/compile/graph.ts';
import type { DataType } from '../../../runtime/engine/tensor.ts';

type Given = (type: DataType, ...dims: number[]) => Value;
export interface Maker {
  readonly input: Given;
  /** Zeros. */
  readonly constant: (type: DataType, dims: readonly number[]) => Value;
}
export type Case = (make: Maker) => readonly [Operation, readonly (Value | undefined)[]];

const plainWindow = { strides: [1, 1], dilations: [1, 1], pads: [0, 0, 0, 0] } as const;

function pool(kind: 'maxPool' | 'averagePool', dims: number[], kernel: readonly [number, number], stride = 1): Case {
  return ({ input }) => {
    const size = (axis: 0 | 1) => Math.floor(((dims[axis + 1] as number) - kernel[axis]) / stride) + 1;
    const outputSize = [size(0), size(1)] as const;
    const window = { ...plainWindow, kernel, strides: [stride, stride] as const };
    const operation =
      kind === 'maxPool' ? { kind, window, outputSize } : { kind, window, outputSize, countIncludePad: false };
    return [operation as Operation, [input('float32', ...dims)]];
  };
}

function conv(dims: number[], outputs: number, kernel: readonly [number, number], group = 1, stride = 1): Case {
  return ({ input, constant }) => {
    const channels = dims[3] as number;
    const weights = constant('float32', [outputs, channels / group, ...kernel]);
    const window = { ...plainWindow, kernel, strides: [stride, stride] as const };
    return [{ kind: 'conv', window, group }, [input('float32', ...dims), weights, constant('float32', [outputs])]];
  };
}

function integerConv(
  kind: 'convInteger' | 'convQuantized',
  dims: number[],
  outputs: number,
  kernel: readonly [number, number],
  group = 1,
): Case {
  return ({ input, constant }) => {
    const channels = dims[3] as number;
    const window = { ...plainWindow, kernel };
    const shape = [outputs, channels / group, ...kernel];
    if (kind === 'convInteger')
      return [
        { kind, window, group },
        [input('int16', ...dims), constant('int16', shape), constant('int32', [outputs])],
      ];
    const operation: Operation = { kind, window, group, to: 'int8', xZero: 0, zero: 0, limits: [-128, 127] };
    const scales = [constant('int32', [outputs]), constant('float32', [outputs])];
    return [operation, [input('int8', ...dims), constant('int8', shape), ...scales]];
  };
}

const unary = (type: DataType): Case[] =>
  (['relu', 'tanh', 'erf', 'sinh', 'softplus', 'atanh'] as const).map(
    (name): Case =>
      ({ input }) => [{ kind: 'unary', name }, [input(type, 500_000)]],
  );

const along = (make: (x: Value, axis: number) => Operation, types: readonly DataType[] = ['float32']): Case[] =>
  types.flatMap((type) =>
    [
      { dims: [1, 1_000_003], axis: 1 },
      { dims: [1, 300_007, 3], axis: 1 },
      { dims: [2, 21, 512 * 512], axis: 1 },
      { dims: [1, 50_021, 96], axis: 1 },
      { dims: [70_000, 3], axis: 1 },
    ].map(
      ({ dims, axis }): Case =>
        ({ input }) => {
          const x = input(type, ...dims);
          return [make(x, axis), [x]];
        },
    ),
  );

const scaled = (operation: Operation, type: DataType): Case[] => [
  ({ input, constant }) => [
    operation,
    [input(type, 1, 700, 300, 3), constant('float32', [3]), constant('float32', [3])],
  ],
  ({ input, constant }) => [operation, [input(type, 1_000_000), constant('float32', []), constant('float32', [])]],
];

const lstm = (name: 'lstm' | 'gru' | 'gruResetAfter' | 'rnn', hidden: number, batch = 1): Case => {
  return ({ input, constant }) => {
    const { gates, state } = {
      lstm: { gates: 4, state: 4 },
      gru: { gates: 3, state: 2 },
      gruResetAfter: { gates: 3, state: 3 },
      rnn: { gates: 1, state: 1 },
    }[name];
    const second = { lstm: [batch, hidden], gru: [hidden, hidden], gruResetAfter: [3 * hidden], rnn: undefined }[name];
    const given = name === 'lstm' ? second && input('float32', ...second) : second && constant('float32', second);
    return [
      { kind: 'recurrent', name, reverse: false },
      [
        input('float32', 3, batch, gates * hidden),
        constant('float32', [state * hidden, hidden]),
        input('float32', batch, hidden),
        given,
      ],
    ];
  };
};

export const cases: { readonly [Kind in Operation['kind']]: readonly Case[] } = {
  argMax: along((_, axis) => ({ kind: 'argMax', axis, least: false, last: false }), ['float32', 'int64', 'int8']),
  attention: [
    ({ input }) => [
      { kind: 'attention', transposeK: true },
      [input('float32', 1, 2, 300, 64), input('float32', 1, 2, 9000, 64), input('float32', 1, 2, 9000, 64)],
    ],
  ],
  averagePool: [
    pool('averagePool', [1, 112, 112, 64], [112, 112]),
    pool('averagePool', [1, 1, 4000, 600], [1, 31]),
    pool('averagePool', [1, 1200, 1200, 1], [900, 900], 100),
    pool('averagePool', [1, 56, 56, 2048], [50, 50]),
  ],
  binary: [
    ...(['add', 'pow', 'fmod'] as const).flatMap((name) =>
      (['float32', 'float64', 'int64'] as const).map(
        (type): Case =>
          ({ input }) => [{ kind: 'binary', name }, [input(type, 600, 700), input(type, 700)]],
      ),
    ),
    ({ input }) => [{ kind: 'binary', name: 'add' }, [input('float32', 400_000, 1), input('float32', 400_000, 3)]],
  ],
  bitCast: [({ input }) => [{ kind: 'bitCast', to: 'int32' }, [input('float32', 900_000)]]],
  cast: (['int8', 'float16', 'float8e4m3fn', 'float64'] as const).map(
    (to): Case =>
      ({ input }) => [{ kind: 'cast', to }, [input('float32', 500_000)]],
  ),
  center: scaled({ kind: 'center' }, 'uint8').map(
    (each): Case =>
      (make) => {
        const [operation, [x, , zero]] = each(make);
        return [operation, [x, zero]];
      },
  ),
  compare: [({ input }) => [{ kind: 'compare', name: 'less' }, [input('int64', 600, 700), input('int64', 700)]]],
  concat: [
    ({ input }) => [{ kind: 'concat', axis: 1 }, [input('float32', 3, 500, 200), input('float32', 3, 700, 200)]],
    ({ input }) => [{ kind: 'concat', axis: 1 }, [input('float32', 400_000, 1), input('float32', 400_000, 1)]],
  ],
  conv: [
    conv([1, 160, 160, 64], 64, [3, 3]),
    conv([1, 100, 60, 32], 32, [3, 3]),
    conv([1, 64, 64, 2048], 8, [3, 3], 1, 2),
    conv([1, 1, 16_000, 1], 512, [1, 400], 1, 160),
    conv([1, 20, 20, 4096], 256, [1, 1]),
    conv([1, 40, 40, 512], 512, [3, 3], 512),
    conv([1, 1, 8000, 512], 512, [1, 31], 512),
    conv([1, 8000, 1, 512], 512, [31, 1], 512),
    conv([1, 100, 2000, 256], 256, [9, 9], 256),
    conv([1, 30, 30, 2048], 16, [7, 7], 1, 2),
    conv([1, 14, 14, 2048], 32, [3, 3]),
  ],
  convInteger: [
    integerConv('convInteger', [1, 60, 60, 64], 64, [3, 3]),
    integerConv('convInteger', [1, 1, 8000, 512], 512, [1, 31], 512),
    integerConv('convInteger', [1, 30, 30, 2048], 16, [5, 5]),
    integerConv('convInteger', [1, 20, 20, 1024], 128, [1, 1]),
  ],
  convQuantized: [
    integerConv('convQuantized', [1, 60, 60, 64], 64, [3, 3]),
    integerConv('convQuantized', [1, 1, 8000, 512], 512, [1, 31], 512),
    integerConv('convQuantized', [1, 30, 30, 2048], 16, [5, 5]),
    integerConv('convQuantized', [1, 20, 20, 1024], 128, [1, 1]),
    integerConv('convQuantized', [1, 40, 2000, 256], 256, [5, 5], 256),
  ],
  convTranspose: [
    ({ input, constant }) => [
      {
        kind: 'convTranspose',
        window: { ...plainWindow, kernel: [2, 2], strides: [2, 2] },
        group: 1,
        outputSize: [160, 80],
      },
      [input('float32', 1, 80, 40, 128), constant('float32', [128, 64, 2, 2])],
    ],
    ({ input, constant }) => [
      {
        kind: 'convTranspose',
        window: { ...plainWindow, kernel: [16, 16], strides: [8, 8] },
        group: 1,
        outputSize: [168, 168],
      },
      [input('float32', 1, 20, 20, 64), constant('float32', [64, 64, 16, 16])],
    ],
  ],
  cumulate: along(
    (_, axis) => ({ kind: 'cumulate', axis, product: false, exclusive: true, reverse: true }),
    ['float32', 'float64', 'int64'],
  ),
  dequantize: scaled({ kind: 'dequantize' }, 'int8'),
  determinant: [({ input }) => [{ kind: 'determinant' }, [input('float32', 2, 150, 150)]]],
  expand: [({ input }) => [{ kind: 'expand', dims: [700, 900] }, [input('float32', 700, 1)]]],
  gather: [
    ({ input }) => [{ kind: 'gather', axis: 0 }, [input('float32', 10, 1_000_000), input('int64', 3)]],
    ({ input }) => [{ kind: 'gather', axis: 1 }, [input('int8', 300, 1000), input('int32', 1000)]],
    ({ input }) => [{ kind: 'gather', axis: 0 }, [input('float32', 30_000, 768), input('int64', 2, 512)]],
  ],
  layerNorm: [
    [1, 1_000_003],
    [2000, 768],
    [100_000, 8],
    [3, 200_000],
  ].map(
    ([rows = 0, size = 0]): Case =>
      ({ input, constant }) => [
        { kind: 'layerNorm', epsilon: 1e-5 },
        [input('float32', rows, size), constant('float32', [size]), constant('float32', [size])],
      ],
  ),
  lookup: [
    ({ input, constant }) => [{ kind: 'lookup' }, [input('uint8', 1000, 700), constant('uint8', [256, 1])]],
    ({ input, constant }) => [{ kind: 'lookup' }, [input('uint8', 1000, 700), constant('uint8', [256, 700])]],
  ],
  matMul: [
    ({ input, constant }) => [
      { kind: 'matMul', transposeB: false },
      [input('float32', 300, 700), constant('float32', [700, 900])],
    ],
    ({ input, constant }) => [
      { kind: 'matMul', transposeB: true },
      [input('float32', 1, 25_088), constant('float32', [400, 25_088])],
    ],
    ({ input, constant }) => [
      { kind: 'matMul', transposeB: true },
      [input('float32', 7, 1_000_003), constant('float32', [2, 1_000_003])],
    ],
    ({ input }) => [
      { kind: 'matMul', transposeB: false },
      [input('float32', 4, 300_000), input('float32', 300_000, 5)],
    ],
    ({ input }) => [{ kind: 'matMul', transposeB: true }, [input('float32', 4, 300_000), input('float32', 5, 300_000)]],
  ],
  matMulBlocks: [
    ({ input, constant }) => [
      { kind: 'matMulBlocks', n: 64, block: 32 },
      [
        input('float32', 1, 11_008),
        constant('uint8', [4, 11_008, 8]),
        constant('float32', [4, 344, 16]),
        constant('float32', [16]),
      ],
    ],
  ],
  matMulInteger: [
    ({ input, constant }) => [
      { kind: 'matMulInteger', transposeB: false },
      [input('int16', 300, 700), constant('int16', [700, 900])],
    ],
    ({ input }) => [
      { kind: 'matMulInteger', transposeB: true },
      [input('int16', 4, 300_000), input('int16', 5, 300_000)],
    ],
    ({ input }) => [
      { kind: 'matMulInteger', transposeB: false },
      [input('int16', 4, 300_000), input('int16', 300_000, 5)],
    ],
  ],
  maxPool: [
    pool('maxPool', [1, 160, 160, 64], [3, 3], 2),
    pool('maxPool', [1, 1, 4000, 600], [1, 31]),
    pool('maxPool', [1, 1200, 1200, 1], [900, 900], 100),
  ],
  maxRoiPool: [
    ({ input }) => [
      { kind: 'maxRoiPool', outputSize: [7, 7], scale: 1 },
      [input('float32', 1, 200, 200, 256), input('float32', 2, 5)],
    ],
  ],
  pad: (['constant', 'reflect'] as const).map(
    (mode): Case =>
      ({ input }) => [
        { kind: 'pad', mode, begins: [0, 2, 2, 0], ends: [0, 2, 2, 0], value: 0 },
        [input('float32', 1, 300, 300, 16)],
      ],
  ),
  pairOpposites: [
    ({ input }) => [
      { kind: 'pairOpposites', taps: 512, step: 160, first: 1, name: 'add' },
      [input('float32', 1, 480_000), input('float32', 1, 480_000)],
    ],
  ],
  product: (['float64', 'int32', 'int64'] as const).flatMap((type) => [
    ({ input }) => [{ kind: 'product', transposeB: false }, [input(type, 5, 700), input(type, 700, 900)]],
    ({ input }) => [{ kind: 'product', transposeB: true }, [input(type, 2, 500_000), input(type, 3, 500_000)]],
  ]),
  quantize: scaled({ kind: 'quantize', to: 'uint8' }, 'float32'),
  recurrent: [
    lstm('lstm', 64),
    lstm('lstm', 1024),
    lstm('gru', 1024),
    lstm('gruResetAfter', 900),
    lstm('rnn', 2000),
    lstm('lstm', 256, 100),
  ],
  reduce: along(
    (_, axis) => ({ kind: 'reduce', name: 'mean', axes: [axis] }),
    ['float32', 'float64', 'int64', 'uint8'],
  ),
  requantize: scaled({ kind: 'requantize', to: 'int8', limits: [-128, 127] }, 'int32'),
  reshape: [],
  resize: (['nearest', 'linear'] as const).flatMap((mode) =>
    [
      [1, 100, 100, 64, 3],
      [1, 4, 2000, 128, 2],
      [1, 2, 3, 300_000, 2],
    ].map(
      ([n = 0, h = 0, w = 0, c = 0, by = 1]): Case =>
        ({ input }) => {
          const places = (size: number) => Array.from({ length: size * by }, (_, i) => Math.floor(i / by));
          return [{ kind: 'resize', mode, rows: places(h), columns: places(w) }, [input('float32', n, h, w, c)]];
        },
    ),
  ),
  roiAlign: [0, 2, 12].map(
    (ratio): Case =>
      ({ input }) => [
        { kind: 'roiAlign', outputSize: [7, 7], ratio, scale: 1, offset: 0, largest: false },
        [input('float32', 1, 200, 200, 256), input('float32', 100, 4), input('int64', 100)],
      ],
  ),
  sample: (['nearest', 'cubic'] as const).map(
    (mode): Case =>
      ({ input }) => [
        { kind: 'sample', mode, border: 'zeros', aligned: false, normalised: true },
        [input('float32', 1, 100, 100, 512), input('float32', 1, 2000, 2)],
      ],
  ),
  scatter: (['set', 'add'] as const).flatMap((name) => [
    ({ input }) => [
      { kind: 'scatter', name },
      [input('float32', 4, 500_000), input('int64', 3), input('float32', 3, 500_000)],
    ],
    ({ input }) => [
      { kind: 'scatter', name },
      [input('float32', 90_000, 1), input('int64', 200_000), input('float32', 200_000, 1)],
    ],
  ]),
  slice: [
    ({ input }) => [
      { kind: 'slice', starts: [0, 1, 0], steps: [1, 2, 1], sizes: [1, 500, 900] },
      [input('float32', 1, 1001, 900)],
    ],
    ({ input }) => [{ kind: 'slice', starts: [0, 1], steps: [1, 2], sizes: [1, 400_000] }, [input('int8', 1, 900_000)]],
  ],
  softmax: [
    ...along((_, axis) => ({ kind: 'softmax', axis, log: false })),
    ...along((_, axis) => ({ kind: 'softmax', axis, log: true })),
  ],
  suppress: [
    ({ input }) => [
      { kind: 'suppress', most: 1000, centred: false },
      [input('float32', 1, 20_000, 4), input('float32', 1, 80, 20_000), input('float32', 1), input('float32', 1)],
    ],
  ],
  topK: [1, 300, 40_000].flatMap((k) => [
    ({ input }) => [{ kind: 'topK', axis: 1, k, largest: true }, [input('float32', 1, 1_000_003)]],
    ({ input }) => [{ kind: 'topK', axis: 1, k, largest: true }, [input('float64', 2, 50_000, 3)]],
  ]),
  transpose: [
    ({ input }) => [{ kind: 'transpose', perm: [1, 0] }, [input('float32', 1000, 900)]],
    ({ input }) => [{ kind: 'transpose', perm: [0, 2, 3, 1] }, [input('float32', 1, 3, 640, 640)]],
    ({ input }) => [{ kind: 'transpose', perm: [0, 2, 1, 3] }, [input('float32', 224, 3, 224, 3)]],
    ({ input }) => [{ kind: 'transpose', perm: [2, 0, 1] }, [input('int8', 700, 3, 500)]],
    ({ input }) => [{ kind: 'transpose', perm: [1, 0] }, [input('float64', 3, 300_007)]],
  ],
  trees: [
    ({ input, constant }) => [
      { kind: 'trees', name: 'sum', outputs: 1, depth: 20 },
      [
        input('float32', 3000, 50),
        constant('int32', [500 * 64, 4]),
        constant('float32', [500 * 64]),
        constant('int32', [500]),
        constant('int32', [500 * 32]),
        constant('float32', [500 * 32]),
      ],
    ],
  ],
  unary: [...unary('float32'), ...unary('float64')],
  uniform: [({ constant }) => [{ kind: 'uniform', dims: [700_000], key: [1, 2] }, [constant('uint64', [1])]]],
  where: [({ input }) => [{ kind: 'where' }, [input('bool', 600, 1), input('int64', 600, 700), input('int64', 700)]]],
  wrapIndices: [({ input }) => [{ kind: 'wrapIndices', size: 5 }, [input('int64', 700_000)]]],
};
