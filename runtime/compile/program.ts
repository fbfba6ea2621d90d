import type { DataType } from '../engine/tensor.ts';
import type { BatchLayout } from './batch-axes.ts';
import type { Address } from './instructions.ts';

/** A graph input or output of a program and where it lies (an output that never changes may lie in the weights or tables). */
export interface ProgramValue {
  readonly name: string;
  readonly type: DataType;
  readonly dims: readonly number[];
  readonly address: Address;
}

/** A model compiled for one set of concrete input shapes. Position-independent: it can be kept on disk and shared. */
export interface Program {
  /** Flat 32-bit instruction words; see assembly/program.ts. */
  readonly words: Uint32Array;
  /** Constants that belong to this program only (resize tables, folded shapes). */
  readonly tables: Uint8Array;
  readonly arenaBytes: number;
  /** Scratch memory of a further core that shares a run: see `Writer.lane`. */
  readonly laneBytes: number;
  readonly inputs: readonly ProgramValue[];
  readonly outputs: readonly ProgramValue[];
  /** Absent when it computes one run. */
  readonly batch?: BatchLayout;
  /** Where each node's instructions begin (word index, ascending), for profiles and fault messages. */
  readonly origins: readonly { readonly word: number; readonly node: string }[];
}

/** Weights packed once and shared by all programs of a model. Append-only: offsets stay valid. */
export interface Weights {
  /** Byte offset (multiple of 16) of a copy of the bytes that `make` gives, which may change afterwards; `make` is called once per key. */
  place(key: string, make: () => ArrayBufferView): number;
}

/** Thrown by the compiler for a graph that our kernels cannot run; the caller falls back and shows the message. */
export class UnsupportedError extends Error {
  override readonly name = 'UnsupportedError';
}

/**
 * Thrown for a node that cannot become part of a program whose shapes are known: it needs contents that only the run
 * has, or values that kernels cannot hold. The program may end before it.
 */
export class NotStaticError extends UnsupportedError {}
