import { Redis } from "ioredis";
import pg from "pg";

export const dynamic = "force-dynamic";

async function askDatabase() {
  const client = new pg.Client({ connectionString: process.env.PG_URL, connectionTimeoutMillis: 2_000 });
  try {
    await client.connect();
    const { rows } = await client.query("select 1 as one");
    return rows[0].one;
  } finally {
    await client.end();
  }
}

async function askCache() {
  const client = new Redis(process.env.CACHE_URL, { connectTimeout: 2_000, maxRetriesPerRequest: 1 });
  client.on("error", () => undefined);
  try {
    return await client.ping();
  } finally {
    client.disconnect();
  }
}

/** What this application was given and what answers there; the values of the variables stay here. */
export async function GET() {
  const [database, cache] = await Promise.allSettled([askDatabase(), askCache()]);
  const body = {
    app: "other",
    database: database.value ?? "no answer",
    cache: cache.value ?? "no answer",
    uid: process.getuid(),
    env: Object.keys(process.env).sort(),
  };
  return Response.json(body, { status: database.value === 1 && cache.value === "PONG" ? 200 : 503 });
}
