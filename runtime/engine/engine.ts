/** The engine: our own kernels behind the Model interface. */

import { UnsupportedError } from '../compile/program.ts';
import type { Model } from './model.ts';

export interface EngineOptions {
  /** Which kernels to use; the fastest that proves right on this machine when absent. */
  readonly build?: string;
  /** Bound on the memory that weights, programs and runs take together. */
  readonly memoryMaxBytes?: number;
}

export interface EngineInfo {
  readonly build: string;
  readonly notes: readonly string[];
  readonly memoryBytes: number;
}

export interface Engine {
  readonly info: EngineInfo;
  load(bytes: Uint8Array, options: { readonly name: string; readonly folder?: string }): Promise<Model>;
  close(): Promise<void>;
}

export async function createEngine(_options: EngineOptions = {}): Promise<Engine> {
  return {
    info: { build: 'none', notes: [], memoryBytes: 0 },
    async load() {
      throw new UnsupportedError('own kernels are not part of this build yet');
    },
    async close() {},
  };
}
