/** What a trigger remembers of each of its streams, and the order in which their messages are handled. */

/** A trigger forgets the stream that was silent for the longest time when more than this many have spoken. */
const STREAMS_MAX = 1000;
/** Messages of one stream that may wait for their turn. */
const WAITING_MAX = 256;

interface Stream<State> {
  state: State | undefined;
  waiting: number;
  /** Settles, never rejects, when the messages so far are done. */
  last: Promise<unknown>;
}

export interface Streams<State> {
  /**
   * Runs `step` when all earlier steps of the same stream are done; other streams may interleave. The returned state
   * is kept; when `step` rejects, the stream stays as it was before, and the rejection is passed on.
   * Rejects at once when too many messages wait.
   */
  run<Value>(key: string, step: (state: State | undefined) => Promise<[state: State, value: Value]>): Promise<Value>;
}

export function createStreams<State>(): Streams<State> {
  // In the order of last use: a Map iterates in the order of insertion.
  const streams = new Map<string, Stream<State>>();

  function use(key: string): Stream<State> {
    const stream = streams.get(key) ?? { state: undefined, waiting: 0, last: Promise.resolve() };
    streams.delete(key);
    if (streams.size >= STREAMS_MAX) forgetOldest();
    streams.set(key, stream);
    return stream;
  }

  function forgetOldest(): void {
    for (const [key, stream] of streams) {
      if (stream.waiting > 0) continue;
      streams.delete(key);
      return;
    }
    throw new Error(`expected at most ${STREAMS_MAX} streams at work at once, got more`);
  }

  return {
    async run(key, step) {
      const stream = use(key);
      if (stream.waiting >= WAITING_MAX) {
        throw new Error(`expected at most ${WAITING_MAX} messages of "${key}" to wait, got more: slow the sender down`);
      }
      stream.waiting++;
      const turn = stream.last.then(async () => {
        const [state, value] = await step(stream.state);
        stream.state = state;
        return value;
      });
      stream.last = turn.then(
        () => stream.waiting--,
        () => stream.waiting--,
      );
      return turn;
    },
  };
}
