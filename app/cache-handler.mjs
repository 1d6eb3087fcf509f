/**
 * Next.js' page and data cache in Redis, so that all replicas show, and revalidate, the same content.
 * With Redis away every read is a miss and every write is dropped: pages are rendered afresh.
 */
import { CacheHandler } from "@fortedigital/nextjs-cache-handler";
import { ioredisAdapter } from "@fortedigital/nextjs-cache-handler/helpers/ioredisAdapter";
import createRedisHandler from "@fortedigital/nextjs-cache-handler/redis-strings";
import { metrics } from "./metrics.mjs";
import { redis } from "./redis.mjs";

// The prefix names the version, so each release starts its own set of keys; these indexes of a past
// one have no expiry of their own.
const INDEX_TTL_S = 30 * 24 * 3600;
const INDEXES = ["__sharedTags__", "__sharedTagsTtl__", "__revalidated_tags__"];

CacheHandler.onCreation(() => {
  // `next build` has neither Redis nor anything worth keeping there.
  if (process.env.NEXT_PHASE === "phase-production-build") return { handlers: [] };

  const prefix = process.env.CACHE_KEY_PREFIX ?? "";
  const client = redis();
  const handler = createRedisHandler({
    client: ioredisAdapter(client),
    keyPrefix: prefix,
    timeoutMs: 1_000,
  });
  return {
    handlers: [
      {
        ...handler,
        async get(key, context) {
          try {
            const value = await handler.get(key, context);
            metrics().cacheReads.inc({ use: "page", result: value ? "hit" : "miss" });
            return value;
          } catch (error) {
            metrics().cacheReads.inc({ use: "page", result: "error" });
            throw error;
          }
        },
        async set(key, value, context) {
          await handler.set(key, value, context);
          await Promise.all(INDEXES.map((index) => client.expire(prefix + index, INDEX_TTL_S)));
        },
      },
    ],
  };
});

export default CacheHandler;
