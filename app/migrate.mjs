/**
 * Applies migrations/*.sql in order, each once, over DIRECT_URL; safe to run twice or twice at once.
 * Forward only: an older release must keep working on the newer schema, so nothing is ever undone.
 */
import { readFile, readdir } from "node:fs/promises";
import pg from "pg";

const FOLDER = new URL("./migrations/", import.meta.url);
// Any fixed number; two migrators with the same one wait for each other.
const LOCK = 7_238_401;
const WAIT_FOR_DATABASE_MS = 60_000;

/** @param {string} url */
async function connect(url) {
  const deadline = Date.now() + WAIT_FOR_DATABASE_MS;
  for (;;) {
    const client = new pg.Client({
      connectionString: url,
      connectionTimeoutMillis: 5_000,
      application_name: "migrate",
      keepAlive: true,
    });
    try {
      await client.connect();
      return client;
    } catch (error) {
      const message = error instanceof Error ? error.message || String(error) : String(error);
      // 28xxx: the server answered and refused the login; waiting changes nothing.
      const refused = error instanceof pg.DatabaseError && error.code?.startsWith("28");
      if (refused || Date.now() > deadline) throw new Error(`cannot connect: ${message}`);
      console.log(`waiting for the database (${message})`);
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
  }
}

/** @param {pg.Client} client @param {string} name */
async function apply(client, name) {
  const sql = await readFile(new URL(name, FOLDER), "utf8");
  const record = { text: "insert into schema_migrations (name) values ($1)", values: [name] };
  if (/^-- no-transaction$/m.test(sql)) {
    // One by one: several statements in one query are an implicit transaction. They must bear
    // repetition, as a crash may come before the record.
    for (const statement of sql.split(/;\s*$/m)) {
      if (statement.trim()) await client.query(statement);
    }
    await client.query(record);
    return;
  }
  await client.query("begin");
  try {
    await client.query(sql);
    await client.query(record);
    await client.query("commit");
  } catch (error) {
    await client.query("rollback");
    throw error;
  }
}

/** @param {pg.Client} client */
async function migrate(client) {
  // A session lock, hence DIRECT_URL: a transaction pool would lose it between two statements.
  await client.query("select pg_advisory_lock($1)", [LOCK]);
  // DDL that waits for a lock makes every later query of that table wait behind it.
  await client.query("set lock_timeout = '10s'");
  await client.query(
    "create table if not exists schema_migrations" +
      " (name text primary key, applied_at timestamptz not null default now())",
  );
  const { rows } = await client.query("select name from schema_migrations");
  const applied = new Set(rows.map((row) => row.name));
  const names = (await readdir(FOLDER)).filter((name) => name.endsWith(".sql")).sort();
  const pending = names.filter((name) => !applied.has(name));
  console.log(`${names.length} migrations, ${pending.length} to apply`);
  for (const [index, name] of pending.entries()) {
    const start = performance.now();
    try {
      await apply(client, name);
    } catch (error) {
      throw new Error(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
    console.log(`${index + 1}/${pending.length} ${name} ${Math.round(performance.now() - start)} ms`);
  }
}

const url = process.env.DIRECT_URL;
if (!url) {
  console.error("migration failed: DIRECT_URL is missing; set it to the database itself, not to the pool");
  process.exit(1);
}
let client;
try {
  client = await connect(url);
  await migrate(client);
  console.log("the schema is up to date");
} catch (error) {
  console.error(`migration failed: ${error instanceof Error ? error.message : String(error)}`);
  process.exitCode = 1;
} finally {
  await client?.end();
}
