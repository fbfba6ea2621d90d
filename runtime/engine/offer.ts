/** The run that the core that stops first goes on with by itself: the engine's side of next-run.ts. */
import { type Computation, closeWork, openWork, segmentOf } from './engine-run.ts';
import type { NextRun } from './next-run.ts';

export class Offer {
  /** While it is on offer its input is copied already. Of runs that have not begun it alone has memory. */
  work: Computation | undefined;
  readonly #next: NextRun;

  constructor(next: NextRun) {
    this.#next = next;
  }

  /** No core has taken it yet. */
  get isOpen(): boolean {
    return this.#next.isOpen;
  }

  /** Until it is opened again nobody takes anything. Which core has taken what was on offer. */
  close(): { readonly place: number; readonly work: Computation } | undefined {
    const place = this.#next.close();
    const { work } = this;
    if (place === undefined || !work) return undefined;
    this.work = undefined;
    return { place, work };
  }

  /** @param givingWay cores whose own runs may be set aside for it, though they were not told to stop */
  open(work: Computation | undefined, run = 0, givingWay: readonly number[] = []): void {
    if (this.work !== work) this.withdraw();
    try {
      if (work && !this.work) {
        openWork(work);
        work.program.weights.hold();
        this.work = work;
      }
    } catch {
      // There may be memory when its turn has come; if not, it is told then.
    }
    this.#next.open(this.work && { run, segment: segmentOf(this.work), givingWay });
  }

  /** It is started in another way. */
  claim(work: Computation): void {
    if (this.work !== work) return;
    this.work = undefined;
    work.program.weights.release();
  }

  withdraw(): void {
    const { work } = this;
    if (!work) return;
    this.claim(work);
    if (work.startedMs === undefined) closeWork(work);
  }
}
