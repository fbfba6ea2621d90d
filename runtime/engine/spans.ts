/** What was done when, in one run that is profiled. */

/** A stretch of time. Spans nest: whatever lies within another was done for it. */
export interface Span {
  /** One program of a stage · one node of a program · kernels of a node in a row · a node in JavaScript, or with graphs inside · a stage that is compiled. */
  readonly kind: 'program' | 'node' | 'kernel' | 'host' | 'control' | 'compile';
  /** The ONNX node's name where there is one. */
  readonly name: string;
  /** From the start of the pass. */
  readonly startMs: number;
  readonly ms: number;
  /** The ONNX operator of the node; '' where the node is none of the file's. */
  readonly operator?: string;
  readonly work?: Work;
}

/** What a node of a program does. */
export interface Work {
  /** The kernel operation with what was fused behind it, as `conv + silu`. */
  readonly operation: string;
  readonly algorithm: string;
  /** Multiplications and additions by the definition, which Winograd's algorithm does fewer of; 0 where nothing is summed up. */
  readonly operations: number;
  /** Of inputs, weights (as the file has them) and outputs, each once. */
  readonly bytes: number;
}

/** One run of the model. */
export interface Pass {
  readonly ms: number;
  /** By start; what contains others before them. */
  readonly spans: readonly Span[];
}

/** Takes down spans as they end; those that contain others go before them. */
export class Recorder {
  spans: Span[] = [];
  #originMs = 0;
  readonly #open: number[] = [];

  restart(): void {
    this.spans = [];
    this.#originMs = performance.now();
  }

  begin(span: Omit<Span, 'startMs' | 'ms'>): void {
    this.#open.push(this.spans.length);
    this.spans.push({ ...span, startMs: performance.now() - this.#originMs, ms: 0 });
  }

  end(): void {
    const index = this.#open.pop() as number;
    const span = this.spans[index] as Span;
    this.spans[index] = { ...span, ms: performance.now() - this.#originMs - span.startMs };
  }

  finish(): Pass {
    return { ms: performance.now() - this.#originMs, spans: this.spans };
  }
}

/** Time of each span without that of the spans inside; kernels count as part of their node. */
export function ownTimes(spans: readonly Span[]): number[] {
  const own = spans.map(({ ms }) => ms);
  const open: number[] = [];
  spans.forEach((span, index) => {
    if (span.kind === 'kernel') return;
    let around = open.at(-1);
    while (around !== undefined && span.startMs >= endOf(spans[around] as Span)) {
      open.pop();
      around = open.at(-1);
    }
    if (around !== undefined) own[around] = (own[around] as number) - span.ms;
    open.push(index);
  });
  return own;
}

function endOf({ startMs, ms }: Span): number {
  return startMs + ms;
}
