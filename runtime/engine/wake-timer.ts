/** Lets the policy have a tick when it wants one. One that is set earlier than need be costs one question. */
import type { Clock } from './clock-io.ts';

export class WakeTimer {
  readonly #clock: Clock;
  readonly #tick: () => void;
  #wakeMs = Number.POSITIVE_INFINITY;
  #stop: (() => void) | undefined;

  constructor(clock: Clock, tick: () => void) {
    this.#clock = clock;
    this.#tick = tick;
  }

  set(wakeMs: number): void {
    if (wakeMs >= this.#wakeMs) return;
    this.#stop?.();
    this.#wakeMs = wakeMs;
    this.#stop = this.#clock.after(Math.max(0, wakeMs - this.#clock.nowMs()), () => {
      this.#wakeMs = Number.POSITIVE_INFINITY;
      this.#stop = undefined;
      this.#tick();
    });
  }
}
