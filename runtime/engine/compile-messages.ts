/** What the engine and the thread that compiles say to each other. */
import type { BatchLayout } from '../compile/batch-axes.ts';
import type { Stage } from '../compile/compile.ts';
import type { KernelTraits } from '../compile/traits.ts';
import type { Tensor } from './tensor.ts';

export interface CompilerSetup {
  readonly memory: WebAssembly.Memory;
  /** Three words in which a request for room is answered: ROOM_…. */
  readonly room: SharedArrayBuffer;
}

/** What every program of a model has a share in, as far as the other side does not know it yet. */
export interface SharedNews {
  /** Of derived constants: what they are, and their names. */
  readonly names: readonly (readonly [string, string])[];
  /** Of constants that are packed: their names, and where they lie in the region of the weights. */
  readonly offsets: readonly (readonly [string, number])[];
  /** Bytes of the region that are in use. */
  readonly weightBytes: number;
}

/** Where weights lie now, and how many there is room for. */
export interface Region {
  readonly offset: number;
  readonly capacity: number;
}

/** An input, with its contents where shapes may follow from them. */
export type InputGiven = Tensor | Omit<Tensor, 'data'>;

export interface CompileOrder {
  readonly kind: 'compile';
  /** Tells models of this engine apart; with another generation it is prepared anew, as its shared constants are. */
  readonly model: number;
  readonly generation: number;
  readonly path: string;
  readonly folder: string | undefined;
  readonly traits: KernelTraits;
  readonly inputs: ReadonlyMap<string, InputGiven>;
  /** The inputs are those of several runs. */
  readonly batch: BatchLayout | undefined;
  readonly news: SharedNews;
  readonly region: Region;
}

export type ToCompiler = CompileOrder | { readonly kind: 'forget'; readonly model: number };

/** Of a whole model: nothing but its program matters. */
export interface CompiledWhole {
  readonly stage: Extract<Stage, { kind: 'program' }>;
  /** Inputs for whose contents it was made. */
  readonly specialised: readonly string[];
}

export type FromCompiler =
  | { readonly kind: 'ready' }
  /** Bytes are needed in all; it waits for the answer in ROOM_… . */
  | { readonly kind: 'room'; readonly usedBytes: number; readonly bytes: number }
  /** Without `whole`: the model is no single program for these inputs. */
  | { readonly kind: 'compiled'; readonly whole: CompiledWhole | undefined; readonly news: SharedNews }
  | { readonly kind: 'failed'; readonly message: string; readonly isUnsupported: boolean; readonly cause?: string };

/** Words of `room`: ROOM_STATE is set, then notified; where the region lies, and how many bytes it has. */
export const ROOM_STATE = 0;
export const ROOM_OFFSET = 1;
export const ROOM_CAPACITY = 2;
export const ROOM_WORDS = 3;

export const ROOM_ASKED = 0;
export const ROOM_GIVEN = 1;
export const ROOM_REFUSED = 2;
