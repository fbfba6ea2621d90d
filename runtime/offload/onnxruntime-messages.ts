/** What we and the process that holds onnxruntime say to each other. */
import type { Tensor } from '../engine/tensor.ts';

export type Request =
  | {
      readonly kind: 'load';
      readonly id: number;
      readonly session: number;
      readonly bytes: Uint8Array;
      readonly externalData: readonly { readonly path: string; readonly data: Uint8Array }[];
    }
  | {
      readonly kind: 'run';
      readonly id: number;
      readonly session: number;
      readonly inputs: Readonly<Record<string, Tensor>>;
    }
  | { readonly kind: 'release'; readonly id: number; readonly session: number };

export type Reply =
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly outputs: Readonly<Record<string, Tensor>>;
      readonly runMs: number;
    }
  | { readonly kind: 'failed'; readonly id: number; readonly message: string };
