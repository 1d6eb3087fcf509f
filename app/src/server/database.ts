/**
 * The pool of database connections and the one way to run a query.
 * It talks to PgBouncer in transaction mode: no session settings, LISTEN, temporary tables or session locks.
 */
import pg from "pg";
import { metrics } from "../../metrics.mjs";
import { config } from "./config";

// Pages show a notice rather than wait: longer than a restart of the database, shorter than patience.
export const PAGE_TIMEOUT_MS = 5_000;
// Covers a pooler that is being replaced and a database that restarts in place.
const RETRY_FOR_MS = 3_000;
const RETRY_AFTER_MS = 250;

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

/** True if nothing was run: the database is starting, or PgBouncer has no server to send this to. */
function refused(error: unknown): boolean {
  if (!(error instanceof pg.DatabaseError)) return false;
  return error.code === "57P03" || error.message.includes("server_login_retry");
}

class NotSent extends Error {}

async function run<Row extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<Row[]> {
  const client = await pool()
    .connect()
    .catch((cause: Error) => Promise.reject(new NotSent(cause.message, { cause })));
  try {
    const { rows } = await client.query<Row>(config);
    client.release();
    return rows;
  } catch (error) {
    // The connection may still carry an unfinished query: close it instead of handing it on.
    client.release(true);
    throw refused(error) ? new NotSent((error as Error).message, { cause: error }) : error;
  }
}

/** Tries again only what was not sent: a write whose connection broke may have been committed. */
async function runWhenReachable<Row extends pg.QueryResultRow>(config: pg.QueryConfig): Promise<Row[]> {
  const deadline = performance.now() + RETRY_FOR_MS;
  for (;;) {
    try {
      return await run<Row>(config);
    } catch (error) {
      if (!(error instanceof NotSent) || performance.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, RETRY_AFTER_MS));
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
  // node-pg reads query_timeout from each query, which its types do not know.
  const statement: pg.QueryConfig & { query_timeout: number } = { text, values, query_timeout: timeoutMs };
  try {
    const rows = await runWhenReachable<Row>(statement);
    stop({ outcome: "ok" });
    return rows;
  } catch (error) {
    stop({ outcome: "error" });
    metrics().errors.inc({ where: "database" });
    throw error;
  }
}

export function connections(): { total: number; idle: number; waiting: number } {
  const { totalCount, idleCount, waitingCount } = pool();
  return { total: totalCount, idle: idleCount, waiting: waitingCount };
}
