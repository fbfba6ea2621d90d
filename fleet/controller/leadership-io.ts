/**
 * Which of several controllers on one database leads: a row with a lease, by the database's clock, so that no other has to be
 * right. The others take over when the lease has ended. A leader that was only slow (a paused machine, a
 * network that came back) is told by the epoch, which grows with each leader and which every transaction checks: it can
 * write nothing any more (Kleppmann, "How to do distributed locking", 2016).
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Pool } from 'pg';

/** Also of a controller's own lease (membership-io.ts). */
export const LEASE_S = 6;
export const RENEW_MS = 1_500;
export const LOOK_MS = 1_000;

export interface Leader {
  readonly holder: string;
  /** Where it answers the other controllers. */
  readonly url: string;
}

export class Leadership {
  readonly #pool: Pool;
  readonly #me: Leader;
  readonly #onLost: () => void;
  /** Undefined until this controller leads. */
  epoch: number | undefined;
  #renewing: NodeJS.Timeout | undefined;

  /** `onLost` runs once, when another controller leads after this one did. */
  constructor(pool: Pool, me: Leader, onLost: () => void) {
    this.#pool = pool;
    this.#me = me;
    this.#onLost = onLost;
  }

  /** Whether this controller leads from now on. */
  async claim(): Promise<boolean> {
    const { rows } = await this.#pool.query<{ epoch: number }>(
      `insert into leadership (name, holder, url, epoch, until)
         values ('fleet', $1, $2, 1, now() + make_interval(secs => $3))
         on conflict (name) do update
         set holder = excluded.holder, url = excluded.url, epoch = leadership.epoch + 1, until = excluded.until
         where leadership.until < now()
         returning epoch`,
      [this.#me.holder, this.#me.url, LEASE_S],
    );
    this.epoch = rows[0]?.epoch;
    if (this.epoch !== undefined) this.#keep();
    return this.epoch !== undefined;
  }

  /** Resolves when this controller leads; rejects when the signal aborts. `onWait` hears again and again who leads meanwhile. */
  async attain(signal: AbortSignal, onWait: (leader: Leader) => void): Promise<void> {
    for (;;) {
      // A database that is away for a while: nobody leads until it is back.
      if (await this.claim().catch(() => false)) return;
      const leader = await this.leader().catch(() => undefined);
      if (leader) onWait(leader);
      await pause(LOOK_MS, undefined, { signal });
    }
  }

  /** Undefined while nobody does. */
  async leader(): Promise<Leader | undefined> {
    const { rows } = await this.#pool.query<Leader>(
      `select holder, url from leadership where name = 'fleet' and until >= now()`,
    );
    return rows[0];
  }

  /** The next controller need not wait for the lease to end. */
  async release(): Promise<void> {
    this.#stop();
    if (this.epoch === undefined) return;
    await this.#pool
      .query(`update leadership set until = now() where name = 'fleet' and epoch = $1`, [this.epoch])
      .catch(() => {});
  }

  #keep(): void {
    this.#renewing = setInterval(() => {
      this.#renew().then(
        (leads) => {
          if (leads || this.#renewing === undefined) return;
          this.#stop();
          this.#onLost();
        },
        // The database is away: nothing can be written meanwhile, here or elsewhere.
        () => {},
      );
    }, RENEW_MS);
  }

  #stop(): void {
    clearInterval(this.#renewing);
    this.#renewing = undefined;
  }

  async #renew(): Promise<boolean> {
    const { rowCount } = await this.#pool.query(
      `update leadership set until = now() + make_interval(secs => $2) where name = 'fleet' and epoch = $1`,
      [this.epoch, LEASE_S],
    );
    return rowCount === 1;
  }
}
