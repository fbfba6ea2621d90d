/** What is measured, and by whom: the words that the harness and its processes share. */
import type { Tensor } from '../../runtime/engine/tensor.ts';

export type Tensors = Readonly<Record<string, Tensor>>;

export const contenderNames = [
  'ours',
  'ours-128',
  'ours-plain',
  'onnxruntime-web',
  'onnxruntime-node',
  'tfjs',
  'tfjs-flag',
] as const;

/**
 * `ours` takes the build that the engine chooses; `ours-128` and `ours-plain` run without V8's re-vectorisation, as on a machine that
 * lacks it. `tfjs-flag` gets the flags that we set for ourselves. All compute on one thread.
 */
export type ContenderName = (typeof contenderNames)[number];

/** What TensorFlow.js computes in place of the ONNX file, which it cannot read. */
export type TensorflowTask =
  | { readonly kind: 'layers'; readonly model: string }
  | { readonly kind: 'operator'; readonly node: TensorflowNode };

/** An operator of ONNX with its constants in ONNX's layouts. */
export interface TensorflowNode {
  readonly operator: string;
  readonly attributes: Readonly<Record<string, number | readonly number[] | string>>;
  /** All inputs in order; those of the run are named, the rest are constants. */
  readonly inputs: readonly (string | Tensor)[];
}

export interface Job {
  readonly name: string;
  /** An ONNX file: its path or its bytes. */
  readonly model: string | Uint8Array;
  readonly inputs: Tensors;
  readonly tensorflow?: TensorflowTask;
  /**
   * The same on pictures whose channels come last, as our engine and TensorFlow.js hold them between operators: what the inside figure
   * is taken of where it is given, so that neither pays for turning them round.
   */
  readonly channelsLast?: { readonly model: Uint8Array; readonly inputs: Tensors };
}

/** One call. */
export interface Sample {
  /**
   * From arrays of numbers to arrays of numbers, as a program calls the engine: into the same ones at each call where the library can do that
   * (ours, onnxruntime-node), since new memory can cost more than the computation. The others give new ones.
   */
  readonly ms: number;
  /** The computation alone, on tensors that the engine holds already; absent where the engine does not tell. */
  readonly insideMs?: number;
}

/** A job made ready by one engine. */
export interface Opened {
  run(): Promise<Sample & { readonly outputs: Tensors }>;
  close(): Promise<void>;
}

export interface Engine {
  /** What a reader of the figures has to know, such as the build in use. */
  readonly about: string;
  open(job: Job): Promise<Opened>;
}

export type Request =
  | { readonly kind: 'open'; readonly job: Job }
  /** Runs again and again until the time is used up, at least once; before the first turn of a job without counting. */
  | { readonly kind: 'turn'; readonly warmUpMs: number; readonly budgetMs: number; readonly runsMax: number }
  | { readonly kind: 'close' };

export type Reply =
  | { readonly kind: 'ready'; readonly about: string }
  | { readonly kind: 'opened'; readonly outputs: Tensors }
  | { readonly kind: 'samples'; readonly samples: readonly Sample[] }
  | { readonly kind: 'closed' }
  /** The engine cannot do this job; the process goes on. */
  | { readonly kind: 'refused'; readonly message: string };
