/**
 * Which of several controllers on one database are there, and whose tasks are whose. Each has a row with a lease, by the database's clock; a task
 * belongs to the controller that took it. Whoever finds a lease that has ended deletes its row and takes what belonged to it, in
 * one transaction; each transaction of a controller holds its row, so that one which was only asleep changes nothing any more.
 */
import { setTimeout as pause } from 'node:timers/promises';
import type { Pool, PoolClient } from 'pg';
import { LEASE_S, LOOK_MS, RENEW_MS } from './leadership-io.ts';

/** Fences that a controller takes at each look. */
const FENCES = 65_536;

/** What a controller has given to nodes. */
export interface Standing {
  /** The last fence. */
  readonly fence: number;
  /** Below it this controller has none out, and will give none. */
  readonly lowest: number;
}

/** What a controller may give from now on. */
export interface Grant {
  readonly from: number;
  readonly until: number;
  /** Below it no other controller has one out, or will. */
  readonly othersLowest: number;
}

/** The tasks of a controller. */
export interface Shared {
  standing(): Promise<Standing>;
  grant(grant: Grant): void;
  /** More tasks are its own now. */
  readAgain(): Promise<void>;
}

export class Membership {
  readonly id: string;
  readonly #pool: Pool;
  readonly #url: string;
  readonly #onLost: () => void;
  #renewing: NodeJS.Timeout | undefined;
  /** Transactions hold its row from then on. */
  hasJoined = false;

  /** `onLost` runs once, when this controller was taken for dead. @param url where it answers the others */
  constructor(pool: Pool, id: string, url: string, onLost: () => void) {
    this.#pool = pool;
    this.id = id;
    this.#url = url;
    this.#onLost = onLost;
  }

  /** Before any task is taken. */
  async join(): Promise<void> {
    await this.#pool.query(
      `insert into controllers (id, url, until, lowest_fence) values ($1, $2, clock_timestamp() + make_interval(secs => $3), 0)`,
      [this.id, this.#url, LEASE_S],
    );
    this.hasJoined = true;
    this.#renewing = setInterval(() => {
      // A database that is away: nothing can be written meanwhile, here or elsewhere.
      this.#renew().catch(() => {});
    }, RENEW_MS);
  }

  /**
   * Resolves after the first look, with what ends it: from then on the tasks of those that are gone, and of nobody, are this controller's.
   */
  async share(tasks: Shared, onError: (error: Error) => void): Promise<() => Promise<void>> {
    await this.#look(tasks);
    const ending = new AbortController();
    const { signal } = ending;
    const look = async (): Promise<void> => {
      for (;;) {
        await pause(LOOK_MS, undefined, { signal });
        await this.#look(tasks).catch(onError);
      }
    };
    const looking = look().catch(() => {});
    return () => {
      ending.abort();
      return looking;
    };
  }

  /** Where the controller is that has an active task; undefined where it is this one, or nobody has. */
  async placeOf(task: string): Promise<string | undefined> {
    const { rows } = await this.#pool.query<{ url: string }>(
      `select url from controllers join tasks on tasks.owner = controllers.id
         where tasks.id = $1 and tasks.state = 'active' and controllers.id <> $2`,
      [task, this.id],
    );
    return rows[0]?.url;
  }

  /** The next look of another controller takes the tasks that there are. */
  async leave(): Promise<void> {
    clearInterval(this.#renewing);
    this.#renewing = undefined;
    await this.#pool.query(`update controllers set until = now() where id = $1`, [this.id]).catch(() => {});
  }

  async #renew(): Promise<void> {
    const { rowCount } = await this.#pool.query(
      `update controllers set until = clock_timestamp() + make_interval(secs => $2) where id = $1`,
      [this.id, LEASE_S],
    );
    if (rowCount === 1 || this.#renewing === undefined) return;
    clearInterval(this.#renewing);
    this.#renewing = undefined;
    this.#onLost();
  }

  async #look(tasks: Shared): Promise<void> {
    const standing = await tasks.standing();
    const client = await this.#pool.connect();
    let failure: Error | undefined;
    try {
      const { grant, taken } = await this.#take(client, standing);
      // What was taken over is known before nodes are told that others have nothing lower out.
      if (taken > 0) await tasks.readAgain();
      tasks.grant(grant);
    } catch (error) {
      failure = error as Error;
      throw error;
    } finally {
      // Where it failed the transaction may be open: the connection is not used again.
      client.release(failure);
    }
  }

  async #take(client: PoolClient, { fence, lowest }: Standing): Promise<{ grant: Grant; taken: number }> {
    await client.query('begin');
    // The counter's row is kept until the commit: looks take turns. Nothing else is held while this one waits for its own.
    const { rows: counters } = await client.query<{ value: number }>(
      `insert into counters (name, value) values ('task fence', $1::bigint + $2::bigint)
         on conflict (name) do update set value = greatest(counters.value, $1::bigint) + $2::bigint returning value`,
      [fence, FENCES],
    );
    const until = (counters[0] as { value: number }).value;
    const { rowCount } = await client.query(
      `update controllers set lowest_fence = $2, until = clock_timestamp() + make_interval(secs => $3) where id = $1`,
      [this.id, lowest, LEASE_S],
    );
    if (rowCount !== 1) throw new Error('this controller was taken for dead, and its tasks are with others');
    // One whose row is held is in the midst of a transaction over its tasks.
    await client.query(
      `delete from controllers
         where id in (select id from controllers where until < now() and id <> $1 for update skip locked)`,
      [this.id],
    );
    const { rowCount: taken } = await client.query(
      `update tasks set owner = $1 where state = 'active'
         and (owner is null or not exists (select from controllers where controllers.id = tasks.owner))`,
      [this.id],
    );
    // What others gave may be lower; the next look knows.
    if (taken) await client.query(`update controllers set lowest_fence = 0 where id = $1`, [this.id]);
    const { rows: others } = await client.query<{ lowest: number | null }>(
      `select min(lowest_fence) as lowest from controllers where id <> $1`,
      [this.id],
    );
    await client.query('commit');
    const othersLowest = others[0]?.lowest ?? Number.POSITIVE_INFINITY;
    return { grant: { from: until - FENCES, until, othersLowest }, taken: taken ?? 0 };
  }
}
