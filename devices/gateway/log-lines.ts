/** The newest lines of a log in memory, for who asks for them from afar. */
const LINES_MAX = 1_000;
const LINE_CHARACTERS_MAX = 2_000;

export class LogLines {
  readonly #lines: string[] = [];
  readonly #next: { write(line: string): unknown };

  /** @param next where every line goes besides */
  constructor(next: { write(line: string): unknown }) {
    this.#next = next;
  }

  /** pino's side. */
  write(line: string): void {
    this.#lines.push(line.trimEnd().slice(0, LINE_CHARACTERS_MAX));
    if (this.#lines.length > LINES_MAX) this.#lines.shift();
    this.#next.write(line);
  }

  last(count: number): string[] {
    return this.#lines.slice(-count);
  }
}
