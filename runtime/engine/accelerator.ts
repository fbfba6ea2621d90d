/** A further place where models may be computed, besides the cores: a GPU, say. */
import type { Model } from './model.ts';

export interface Accelerator {
  /** Its name for the policy, and where runs are shown: `gpu`. */
  readonly name: string;
  /** Loads a model there. Rejects where it cannot be. */
  load(file: Uint8Array, options: { readonly name: string; readonly folder?: string }): Promise<Model>;
  /** Is told in a sentence whether a model is computed there, and why not. */
  tell(model: string, news: string): void;
}
