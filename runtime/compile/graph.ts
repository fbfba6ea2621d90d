/**
 * The graph between ONNX and the kernels. Its operations are few and explicit: every shape is known, attributes are
 * resolved (no opset differences, no negative axes), and images are NHWC. ONNX operators are composed of them
 * (runtime/ops); every pass rewrites this graph; the emitter has one function per operation.
 */
import type { DataType, Tensor } from '../engine/tensor.ts';
import type {
  Activation,
  BinaryName,
  ByteType,
  CompareName,
  QuantizedType,
  ReduceName,
  UnaryName,
  Window2d,
} from './instructions.ts';
import type { CastMode } from './minifloat.ts';
import type { RareOperation } from './rare-operations.ts';
import type { RecurrentName } from './recurrent.ts';

export type Size2d = readonly [height: number, width: number];

export type Operation =
  | RareOperation
  | { readonly kind: 'unary'; readonly name: UnaryName; readonly alpha?: number; readonly beta?: number }
  /** Numpy broadcasting of two values of one type. */
  | { readonly kind: 'binary'; readonly name: BinaryName }
  | { readonly kind: 'compare'; readonly name: CompareName }
  /** condition (bool), a, b. */
  | { readonly kind: 'where' }
  /** The mode, when it is not the usual one, counts for 8-bit floats only. */
  | { readonly kind: 'cast'; readonly to: DataType; readonly mode?: CastMode }
  /** The same bits as another type of the same size. */
  | { readonly kind: 'bitCast'; readonly to: DataType }
  /** x [n, h, w, c], weights [m, c / group, kh, kw] (constant), bias [m]?, residual shaped like the output? */
  | {
      readonly kind: 'conv';
      readonly window: Window2d;
      readonly group: number;
      readonly activation?: Activation;
    }
  /** x [n, h, w, c], weights [c, m / group, kh, kw] (constant), bias [m]?. */
  | {
      readonly kind: 'convTranspose';
      readonly window: Window2d;
      readonly group: number;
      readonly outputSize: Size2d;
      readonly activation?: Activation;
    }
  /** x [n, h, w, c]. Windows may reach beyond the padding (ceil_mode); what lies there counts as absent. */
  | { readonly kind: 'maxPool'; readonly window: Window2d; readonly outputSize: Size2d }
  | {
      readonly kind: 'averagePool';
      readonly window: Window2d;
      readonly outputSize: Size2d;
      readonly countIncludePad: boolean;
    }
  /** a [..., m, k], b [..., k, n] ([..., n, k] when transposed), bias [n]?, residual shaped like the output?. */
  | { readonly kind: 'matMul'; readonly transposeB: boolean; readonly activation?: Activation }
  /** As `matMul`, of two matrices of float64 or of integers of 32 or 64 bits, which wrap. */
  | { readonly kind: 'product'; readonly transposeB: boolean }
  /** Reduced axes stay, with size 1. */
  | { readonly kind: 'reduce'; readonly name: ReduceName; readonly axes: readonly number[] }
  | { readonly kind: 'softmax'; readonly axis: number; readonly log: boolean }
  /** The axis stays, with size 1. Gives int64. */
  | { readonly kind: 'argMax'; readonly axis: number; readonly least: boolean; readonly last: boolean }
  /** x [..., size], scale [size], bias [size]. `uncentred`: the mean is taken for 0 (RMS normalisation). */
  | { readonly kind: 'layerNorm'; readonly epsilon: number; readonly uncentred?: boolean }
  /**
   * q [..., m, d], k [..., d, n] ([..., n, d] when transposed), v [..., n, e], mask that broadcasts to [..., m, n]? →
   * softmax(q · k + mask) · v
   */
  | { readonly kind: 'attention'; readonly transposeK: boolean }
  | { readonly kind: 'reshape'; readonly dims: readonly number[] }
  /** Output axis i is input axis perm[i]. */
  | { readonly kind: 'transpose'; readonly perm: readonly number[] }
  /** One entry an axis. */
  | {
      readonly kind: 'slice';
      readonly starts: readonly number[];
      readonly steps: readonly number[];
      readonly sizes: readonly number[];
    }
  | { readonly kind: 'concat'; readonly axis: number }
  /** One entry an axis, none negative. */
  | {
      readonly kind: 'pad';
      readonly mode: 'constant' | 'reflect' | 'edge' | 'wrap';
      readonly begins: readonly number[];
      readonly ends: readonly number[];
      readonly value: number;
    }
  /** Numpy broadcasting to exactly these sizes. */
  | { readonly kind: 'expand'; readonly dims: readonly number[] }
  /** x, indices (int32 or int64). */
  | { readonly kind: 'gather'; readonly axis: number }
  /**
   * x [n, h, w, c]. For every output row and column its place in the input: whole numbers for `nearest`,
   * fractions from 0 to size - 1 for `linear`.
   */
  | {
      readonly kind: 'resize';
      readonly mode: 'nearest' | 'linear';
      readonly rows: readonly number[];
      readonly columns: readonly number[];
    }
  /**
   * x float32; scale and zero point (float32) broadcast to its shape → limit(round(x / scale) + zero point). Of int32 sums:
   * `requantize`, limit(round(x · scale) + zero point), to 8 bits, with limits that lie in the type's range.
   */
  | { readonly kind: 'quantize'; readonly to: QuantizedType }
  | { readonly kind: 'requantize'; readonly to: QuantizedType; readonly limits: readonly [low: number, high: number] }
  /** x, scale and zero point as for `quantize` → (x - zero point) · scale */
  | { readonly kind: 'dequantize' }
  /** x (int8 or uint8), zero point (float32) that broadcasts to its shape → int16 x - zero point */
  | { readonly kind: 'center' }
  /** As `conv`, of int16 x and weights and an int32 bias; gives int32, which wraps. */
  | { readonly kind: 'convInteger'; readonly window: Window2d; readonly group: number }
  /**
   * As `convInteger`, of int8 or uint8 x less its zero point, then as `requantize` with a factor for all channels or each ([1] or [m]).
   * Weights (int16, or int8 where they fit), bias and factor are constants.
   */
  | {
      readonly kind: 'convQuantized';
      readonly window: Window2d;
      readonly group: number;
      readonly to: ByteType;
      readonly xZero: number;
      readonly zero: number;
      readonly limits: readonly [low: number, high: number];
    }
  /** As `matMul`, of int16 a and b and an int32 bias; gives int32, which wraps. */
  | { readonly kind: 'matMulInteger'; readonly transposeB: boolean }
  /**
   * gates [time, batch, gates · hidden] (the inputs' part), state weights r, h0 [batch, hidden] → all states [time, batch, hidden].
   * lstm, gates i, o, f, c: r [4 · hidden, hidden], c0 [batch, hidden], peephole [3 · hidden]? → and the last cell [batch, hidden].
   * gru, gates update, reset, new: r [2 · hidden, hidden], weights of the new state [hidden, hidden].
   * gruResetAfter: r [3 · hidden, hidden], bias of the state's part [3 · hidden]. rnn: r [hidden, hidden].
   */
  | { readonly kind: 'recurrent'; readonly name: RecurrentName; readonly reverse: boolean };

/** The integers that `dequantize` made floats of. */
export interface Quantized {
  readonly values: Value;
  readonly scale: Value;
  readonly zero: Value;
}

export interface Constant {
  readonly tensor: Tensor;
  /** Names the contents among all programs of a model; absent when they depend on the shapes of this program. */
  readonly key: string | undefined;
  readonly quantized?: Quantized;
}

/** One tensor of the graph. Compared by identity. */
export interface Value {
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly constant?: Constant;
}

export interface Node {
  /** Name of the ONNX node that it came from. */
  readonly origin: string;
  readonly operation: Operation;
  /** `undefined` stands for an absent optional input. */
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
}

export interface NamedValue {
  readonly name: string;
  readonly value: Value;
}

/** Nodes are in execution order. */
export interface KernelGraph {
  readonly inputs: readonly NamedValue[];
  readonly outputs: readonly NamedValue[];
  readonly nodes: readonly Node[];
}

/** How often each value is read: by nodes, and by being an output of the graph. */
export function countUses(graph: KernelGraph): Map<Value, number> {
  const uses = new Map<Value, number>();
  const count = (value: Value | undefined): void => {
    if (value) uses.set(value, (uses.get(value) ?? 0) + 1);
  };
  for (const node of graph.nodes) node.inputs.forEach(count);
  for (const output of graph.outputs) count(output.value);
  return uses;
}
