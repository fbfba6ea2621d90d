/** The sound models that are damaged: ONNX's own cases where the machine has them, and random graphs. */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { Random } from '../../random.ts';
import { sharedData } from '../../requirement.ts';
import { generate } from '../random-graphs/generate.ts';
import { writeGraphFile } from '../random-graphs/graph.ts';
import { mutate } from './mutate.ts';

const FILE_BYTES_MAX = 10_000;
/** Share of random graphs among the models. */
const RANDOM_SHARE = 0.25;
const folder = `${sharedData}onnx-node/node/`;

export class SeedModels {
  readonly #files = existsSync(folder) ? readdirSync(folder).sort() : [];

  get count(): number {
    return this.#files.length;
  }

  /** The damaged model of a seed, and the state of chance behind it. */
  damaged(seed: number): { bytes: Uint8Array; random: Random } {
    const random = new Random(seed);
    const bytes = mutate(random, this.#pick(random), this.#pick(random));
    return { bytes, random };
  }

  #pick(random: Random): Uint8Array {
    if (this.#files.length > 0 && random.next() > RANDOM_SHARE) {
      const path = `${folder}${random.pick(this.#files)}/model.onnx`;
      if (existsSync(path) && statSync(path).size <= FILE_BYTES_MAX) return new Uint8Array(readFileSync(path));
    }
    return writeGraphFile(generate(random.below(1_000_000)));
  }
}
