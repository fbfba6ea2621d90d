/**
 * PostgreSQL in SQLite's place, for the same queries. Transactions take turns as they do there, over all controllers on the
 * database: what the controller reads in one is still so when it writes. Each commit serves a batch, so that one at a time is enough. Those over
 * tasks need not wait: a task belongs to one controller (membership-io.ts).
 */
import { randomUUID } from 'node:crypto';
import {
  CompiledQuery,
  type DatabaseConnection,
  type Driver,
  Kysely,
  PostgresDialect,
  PostgresDriver,
  type TransactionSettings,
} from 'kysely';
import pg from 'pg';
import { type Database, openDatabase, type Tables } from './database.ts';
import { type Leader, Leadership } from './leadership-io.ts';
import { Membership } from './membership-io.ts';

const CONNECTIONS_MAX = 8;
const CONNECT_MS = 5_000;
const STATEMENT_MS = 60_000;
/** A controller that was stopped in the midst of a transaction must not keep the turn: shorter than a lease. */
const IDLE_MS = 5_000;
/** Of the turn; any number that nobody else on the database uses. */
const TURN = 7_165_093_424;
const INT8 = 20;

export interface Postgres {
  readonly database: Database;
  /** For transactions over this controller's tasks. */
  readonly tasksDatabase: Database;
  readonly leadership: Leadership;
  readonly membership: Membership;
}

/** Rejects with an Error for the person who wrote the address when the server cannot be reached or used. @param onLost see Leadership */
export async function openPostgres(url: string, me: Leader, onLost: () => void): Promise<Postgres> {
  const pool = new pg.Pool({
    connectionString: url,
    Client: TextClient,
    max: CONNECTIONS_MAX,
    connectionTimeoutMillis: CONNECT_MS,
    statement_timeout: STATEMENT_MS,
    idle_in_transaction_session_timeout: IDLE_MS,
    application_name: 'llmasos',
    // Times, counts and versions stay far below 2^53.
    types: { getTypeParser: (type, format) => (type === INT8 ? Number : pg.types.getTypeParser(type, format)) },
  });
  // A connection may end at any time, in the pool or in use: who needs it is told by what he asked of it.
  pool.on('error', () => {});
  pool.on('connect', (client) => void client.on('error', () => {}));
  const leadership = new Leadership(pool, me, onLost);
  const membership = new Membership(pool, randomUUID(), me.url, onLost);
  try {
    await createLeases(pool);
  } catch (cause) {
    await pool.end();
    const { message } = cause as Error;
    const place = withoutLogin(url);
    throw new Error(
      `--database ${place}: ${message || 'cannot be reached'}; is PostgreSQL there, and may this user create tables?`,
      {
        cause,
      },
    );
  }
  const database = await openDatabase(
    new GuardedDialect(pool, inTurns(leadership, asMember(membership))),
    'the database',
  );
  const tasksDatabase = new Kysely<Tables>({ dialect: new GuardedDialect(pool, asMember(membership)) });
  return { database, tasksDatabase, leadership, membership };
}

/** Before the migrations, which themselves may be waited for. */
async function createLeases(pool: pg.Pool): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('begin');
    await client.query('select pg_advisory_xact_lock($1)', [TURN]);
    await client.query(
      `create table if not exists leadership (
         name text primary key, holder text not null, url text not null, epoch bigint not null, until timestamptz not null)`,
    );
    await client.query(
      `create table if not exists controllers (
         id text primary key, url text not null, until timestamptz not null, lowest_fence bigint not null)`,
    );
    await client.query('commit');
  } finally {
    client.release();
  }
}

export function isPostgres(place: string): boolean {
  return /^postgres(ql)?:\/\//.test(place);
}

function withoutLogin(url: string): string {
  return url.replace(/\/\/[^@/]*@/, '//');
}

/** PostgreSQL keeps every character but one: what came as U+0000, from a node's error say, is written as U+FFFD. */
class TextClient extends pg.Client {
  // biome-ignore lint/suspicious/noExplicitAny: the overloads of pg, passed on as they are
  override query(...given: any[]): any {
    const [query, values, ...rest] = given;
    const clean = Array.isArray(values) ? values.map(withoutNul) : values;
    return Reflect.apply(super.query, this, [query, clean, ...rest]);
  }
}

function withoutNul(value: unknown): unknown {
  return typeof value === 'string' ? value.replaceAll('\0', '\uFFFD') : value;
}

/** Runs at the beginning of each transaction; rejects where there must be none. */
type Guard = (connection: DatabaseConnection) => Promise<void>;

/**
 * One at a time over all controllers, and only while this one leads, once it does. A task may be committed with what else belongs to it,
 * such as the version that an update brings: so what holds for tasks holds here, too.
 */
function inTurns(leadership: Leadership, asMember: Guard): Guard {
  return async (connection) => {
    await connection.executeQuery(CompiledQuery.raw('select pg_advisory_xact_lock($1)', [TURN]));
    const { epoch } = leadership;
    if (epoch !== undefined) {
      const query = CompiledQuery.raw(`select 1 from leadership where name = 'fleet' and epoch = $1`, [epoch]);
      const { rows } = await connection.executeQuery(query);
      if (rows.length === 0) throw new Error('another controller leads this fleet now');
    }
    await asMember(connection);
  };
}

/**
 * Beside those of other controllers, and only while this one was not taken for dead: until the end of the transaction it cannot be. Before
 * it has joined it has no tasks.
 */
function asMember(membership: Membership): Guard {
  return async (connection) => {
    if (!membership.hasJoined) return;
    const query = CompiledQuery.raw('select 1 from controllers where id = $1 for key share', [membership.id]);
    const { rows } = await connection.executeQuery(query);
    if (rows.length === 0) throw new Error('this controller was taken for dead, and its tasks are with others');
  };
}

class GuardedDialect extends PostgresDialect {
  readonly #pool: pg.Pool;
  readonly #guard: Guard;

  constructor(pool: pg.Pool, guard: Guard) {
    super({ pool });
    this.#pool = pool;
    this.#guard = guard;
  }

  override createDriver(): Driver {
    return new GuardedDriver(this.#pool, this.#guard);
  }
}

class GuardedDriver extends PostgresDriver {
  readonly #guard: Guard;

  constructor(pool: pg.Pool, guard: Guard) {
    super({ pool });
    this.#guard = guard;
  }

  override async beginTransaction(connection: DatabaseConnection, settings: TransactionSettings): Promise<void> {
    await super.beginTransaction(connection, settings);
    try {
      await this.#guard(connection);
    } catch (error) {
      await connection.executeQuery(CompiledQuery.raw('rollback')).catch(() => {});
      throw error;
    }
  }
}
