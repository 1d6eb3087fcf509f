import { databaseCheck, redisCheck } from "@/server/health";

export const dynamic = "force-dynamic";

let hadContact = false;

/**
 * Not ready until the database and the cache have answered this pod once: a release with a wrong
 * address never gets traffic. Later an outage of either does not count, as it is the same for all
 * replicas: they would all leave the Service, and nobody could serve the cached pages or the notice.
 */
export async function GET(): Promise<Response> {
  const [database, redis] = await Promise.all([databaseCheck(), redisCheck()]);
  hadContact ||= database.status === "ok" && redis.status === "ok";
  const body = { ready: hadContact, database: database.status, redis: redis.status };
  return Response.json(body, { status: hadContact ? 200 : 503 });
}
