/**
 * The pool of database connections and the one way to run a query.
 * It talks to PgBouncer in transaction mode: no session settings, LISTEN, temporary tables or session locks.
 */
import pg from "pg";
import { metrics } from "../../metrics.mjs";
import { config } from "./config";

// Pages show a notice rather than wait: longer than a restart of the database, shorter than patience.
export const PAGE_TIMEOUT_MS = 5_000;
// Covers a pooler that is being replaced. A timeout of the pool itself is longer and not retried.
const CONNECT_RETRY_FOR_MS = 1_500;
const CONNECT_RETRY_AFTER_MS = 250;

const slot = Symbol.for("nextstack.pool");

function pool(): pg.Pool {
  const shared = globalThis as unknown as Record<symbol, pg.Pool | undefined>;
  return (shared[slot] ??= createPool());
}

function createPool(): pg.Pool {
  const { DATABASE_URL, DATABASE_POOL_SIZE } = config();
  const created = new pg.Pool({
    connectionString: DATABASE_URL,
    max: DATABASE_POOL_SIZE,
    connectionTimeoutMillis: 3_000,
    idleTimeoutMillis: 10_000,
    // A stopping PgBouncer waits for its clients; these leave by themselves within a minute.
    maxLifetimeSeconds: 60,
    keepAlive: true,
    application_name: "nextstack-sample",
  });
  // Without a listener, an idle connection that breaks would end the process.
  created.on("error", (error) => console.warn(`an idle database connection broke: ${error.message}`));
  return created;
}

/** Retried, because nothing has been sent yet: safe for writes too. */
async function connect(): Promise<pg.PoolClient> {
  const deadline = performance.now() + CONNECT_RETRY_FOR_MS;
  for (;;) {
    try {
      return await pool().connect();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, CONNECT_RETRY_AFTER_MS));
    }
  }
}

/** `name` is the query's label in the metrics. */
export async function query<Row extends pg.QueryResultRow>(
  name: string,
  text: string,
  values: unknown[] = [],
  timeoutMs: number = config().DATABASE_TIMEOUT,
): Promise<Row[]> {
  const stop = metrics().querySeconds.startTimer({ query: name });
  let client: pg.PoolClient | undefined;
  try {
    client = await connect();
    const result = await client.query<Row>({ text, values, query_timeout: timeoutMs } as pg.QueryConfig);
    client.release();
    stop({ outcome: "ok" });
    return result.rows;
  } catch (error) {
    // The connection may still carry an unfinished query: close it instead of handing it on.
    client?.release(true);
    stop({ outcome: "error" });
    metrics().errors.inc({ where: "database" });
    throw error;
  }
}

export function connections(): { total: number; idle: number; waiting: number } {
  const { totalCount, idleCount, waitingCount } = pool();
  return { total: totalCount, idle: idleCount, waiting: waitingCount };
}
