/**
 * Queueing formulas. Rates are per unit of time and times in the same unit, whichever it is. `wait` is the time from
 * arrival to the end of the run less its own service, so that it includes being set aside. An overloaded queue has an
 * infinite wait.
 */

/** A class of runs: Poisson arrivals, service times of any distribution. */
export interface Stream {
  readonly rate: number;
  /** Mean of the service time. */
  readonly mean: number;
  /** Second moment of the service time: E[S²]. */
  readonly second: number;
}

/** Second moment of exponential service times. */
export function exponentialSecond(mean: number): number {
  return 2 * mean * mean;
}

/** Share of arrivals that find all servers busy and are turned away. `load` = rate × mean, in erlang. (Erlang, 1917.) */
export function erlangB(servers: number, load: number): number {
  let blocking = 1;
  // The recursion is stable where the textbook's factorials overflow (Cooper, Introduction to Queueing Theory, 1981).
  for (let n = 1; n <= servers; n++) blocking = (load * blocking) / (n + load * blocking);
  return blocking;
}

/** Share of arrivals that have to wait when all may (Erlang, 1917). 1 from full load on. */
export function erlangC(servers: number, load: number): number {
  if (load >= servers) return 1;
  const blocking = erlangB(servers, load);
  return (servers * blocking) / (servers - load * (1 - blocking));
}

/** Mean wait in M/M/c, first come first served (Kleinrock, Queueing Systems vol. 1, 1975, section 3.5). */
export function waitMMc(servers: number, rate: number, mean: number): number {
  const load = rate * mean;
  if (load >= servers) return Number.POSITIVE_INFINITY;
  return (erlangC(servers, load) * mean) / (servers - load);
}

/**
 * Mean wait in M/G/c, about: M/M/c scaled by the variability of the service times (Lee and Longton, Operational Research
 * Quarterly 10, 1959). Exact for one server (Pollaczek and Khinchine) and for exponential times.
 */
export function waitMGc(servers: number, { rate, mean, second }: Stream): number {
  if (rate === 0 || mean === 0) return 0;
  return (waitMMc(servers, rate, mean) * second) / (2 * mean * mean);
}

/** Mean wait of each class in M/G/1, most urgent first, when a run is never interrupted (Cobham, Operations Research 2, 1954). */
export function waitNonPreemptive(streams: readonly Stream[]): number[] {
  // What an arrival finds of the run under way, whichever class it is of.
  const residual = streams.reduce((sum, { rate, second }) => sum + (rate * second) / 2, 0);
  let above = 0;
  return streams.map(({ rate, mean }) => {
    const through = above + rate * mean;
    const wait = through < 1 ? residual / ((1 - above) * (1 - through)) : Number.POSITIVE_INFINITY;
    above = through;
    return wait;
  });
}

/**
 * Mean wait of each class in M/G/1, most urgent first, when the more urgent interrupts and the other resumes where it was
 * (Conway, Maxwell and Miller, Theory of Scheduling, 1967, chapter 8; Kleinrock vol. 2, 1976, section 3.4).
 */
export function waitPreemptive(streams: readonly Stream[]): number[] {
  let above = 0;
  let residual = 0;
  return streams.map(({ rate, mean, second }) => {
    const through = above + rate * mean;
    residual += (rate * second) / 2;
    const response = mean / (1 - above) + residual / ((1 - above) * (1 - through));
    const wait = through < 1 ? response - mean : Number.POSITIVE_INFINITY;
    above = through;
    return wait;
  });
}

/**
 * Mean wait of each class on several servers with preemption, about: a class gains by c servers over one that is c times
 * as fast what all classes down to it would gain without priorities; the less urgent ones it does not see. After Bondi
 * and Buzen (SIGMETRICS, 1984), who scale by all classes. Exact for one server. With exponential times of one mean it is
 * exact for every class: the wait of the classes down to one is then that of M/M/c.
 */
export function waitPreemptiveServers(servers: number, streams: readonly Stream[]): number[] {
  if (servers === 1) return waitPreemptive(streams);
  /** Arrivals × mean wait of all classes so far: the runs that wait, by Little's law. */
  let above = 0;
  return streams.map(({ rate }, place) => {
    const down = streams.slice(0, place + 1);
    const fast = down.map((stream) => ({
      rate: stream.rate,
      mean: stream.mean / servers,
      second: stream.second / servers ** 2,
    }));
    const together = waitMGc(1, merge(fast));
    if (!Number.isFinite(together)) return Number.POSITIVE_INFINITY;
    if (rate === 0 || together === 0) return 0;
    const single = waitPreemptive(fast).reduce((sum, wait, i) => sum + wait * (fast[i] as Stream).rate, 0);
    const all = (single * waitMGc(servers, merge(down))) / together;
    const wait = Math.max(0, all - above) / rate;
    above = all;
    return wait;
  });
}

/** One stream of what arrives on several. */
export function merge(streams: readonly Stream[]): Stream {
  const rate = streams.reduce((sum, stream) => sum + stream.rate, 0);
  if (rate === 0) return { rate: 0, mean: 0, second: 0 };
  const average = (of: (stream: Stream) => number): number =>
    streams.reduce((sum, stream) => sum + stream.rate * of(stream), 0) / rate;
  return { rate, mean: average(({ mean }) => mean), second: average(({ second }) => second) };
}

/**
 * The wait that a share of the runs stays under, when `waiting` of them wait at all: who waits, waits exponentially long.
 * Exact for M/M/c; for the others the usual two-point fit of the mean (Tijms, Stochastic Models, 1994, section 4.3).
 */
export function waitQuantile(share: number, waiting: number, meanWait: number): number {
  if (1 - share >= waiting || meanWait === 0) return 0;
  return (meanWait / waiting) * Math.log(waiting / (1 - share));
}
