/**
 * The one Redis connection of this process, shared by the page cache and the sessions.
 * What is stored there is the business of its two users.
 */
import { Redis } from "ioredis";

const slot = Symbol.for("nextstack.redis");

/** @returns {Redis} */
export function redis() {
  const shared = /** @type {Record<symbol, Redis | undefined>} */ (/** @type {unknown} */ (globalThis));
  return (shared[slot] ??= connect(process.env.REDIS_URL ?? ""));
}

/** @param {string} url */
function connect(url) {
  const client = new Redis(url, {
    connectTimeout: 2_000,
    // A page is rendered without the cache rather than late; a frozen server costs 1 s per command.
    commandTimeout: 1_000,
    maxRetriesPerRequest: 1,
    retryStrategy: (attempt) => Math.min(attempt * 100, 500),
    // A lost peer sends no reset: without this the socket hangs until TCP gives up, after minutes.
    socketTimeout: 5_000,
    keepAlive: 10_000,
    // After a failover this connection may point at a demoted primary: reconnect, then send again.
    reconnectOnError: (error) => (error.message.startsWith("READONLY") ? 2 : false),
  });
  let down = false;
  client.on("error", (error) => {
    if (!down) console.warn(`redis is not reachable: ${error.message}`);
    down = true;
  });
  client.on("ready", () => {
    if (down) console.info("redis is reachable again");
    down = false;
  });
  return client;
}
