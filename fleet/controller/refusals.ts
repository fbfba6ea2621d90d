/** Messages of nodes that did not fit their schema, counted by node. Those that are not on record are one, or strangers could fill it. */
import type { Logger } from 'pino';

export interface Refused {
  readonly count: number;
  readonly last: string;
}

export class Refusals {
  readonly #byNode = new Map<string, Refused>();
  readonly #isKnown: (node: string) => boolean;
  readonly #log: Logger;

  constructor(isKnown: (node: string) => boolean, log: Logger) {
    this.#isKnown = isKnown;
    this.#log = log;
  }

  /** It is logged when it is the first, the tenth, the hundredth …: a node may send any number. */
  note(node: string, error: Error): void {
    const name = this.#isKnown(node) ? node : '';
    const count = (this.#byNode.get(name)?.count ?? 0) + 1;
    this.#byNode.set(name, { count, last: error.message });
    if (/^10*$/.test(String(count))) this.#log.warn(`a message from a node was refused: ${error.message}`);
  }

  of(node: string): Refused | undefined {
    return this.#byNode.get(node);
  }
}
